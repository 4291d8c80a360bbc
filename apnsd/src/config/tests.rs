//! What configuration files say, and what is said of them.

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/apnsd"))
}

/// The field that is wrong, and why.
fn wrong(text: &str) -> (String, String) {
    let error = parse(text).expect_err(text);
    (error.field.unwrap_or_default(), error.problem)
}

const SHOP: &str = "[apps.shop]\nenvironment = \"production\"\ncertificate = \"shop.pem\"\n";

#[test]
fn an_empty_file_is_all_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.api.listen, Some("127.0.0.1:7080".parse().unwrap()));
    let pyapns = config.pyapns;
    assert_eq!(pyapns.listen, Some("127.0.0.1:7077".parse().unwrap()));
    assert_eq!(pyapns.rest_listen, Some("127.0.0.1:8088".parse().unwrap()));
    assert!(config.apps.is_empty() && config.tokens.is_empty());
    assert_eq!(config.bounds, Bounds::default());
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        "data = \"/var/lib/apnsd\"\n\
         stop_within = \"5s\"\n\
         [outbox]\n\
         max_notifications = 1000\n\
         max_bytes = 1000000\n\
         keep_outcomes = \"1d\"\n\
         [api]\n\
         listen = \"127.0.0.1:1\"\n\
         max_body = 2048\n\
         [api.tls]\n\
         listen = \"127.0.0.1:2\"\n\
         certificate = \"api.pem\"\n\
         key = \"/run/api.key\"\n\
         [pyapns]\n\
         enabled = false\n\
         [[token]]\n\
         name = \"all\"\n\
         secret = \"0123456789abcdef\"\n\
         admin = true\n\
         [apps.\"shop & café\"]\n\
         environment = \"sandbox\"\n\
         signing_key = \"AuthKey.p8\"\n\
         key_id = \"ABCDE12345\"\n\
         team_id = \"TEAM123456\"\n\
         loss = \"resend\"\n\
         resend_at_most = 2\n\
         rate = 100\n\
         [apps.\"shop & café\".retry]\n\
         attempts = 2\n\
         within = \"1h\"\n",
    )
    .unwrap();
    assert_eq!(config.data, Path::new("/var/lib/apnsd"));
    assert_eq!(config.stop_within, Duration::from_secs(5));
    assert_eq!((config.bounds.notifications, config.bounds.per_app), (1000, 500), "half of it for one app");
    assert_eq!(config.bounds.outcomes, Duration::from_secs(86_400));
    let tls = config.api.tls.unwrap();
    assert_eq!((tls.certificate, tls.key), ("/etc/apnsd/api.pem".into(), "/run/api.key".into()));
    assert!(config.pyapns == PyapnsConfig::new(None, None) && config.tokens[0].admin);
    let app = &config.apps["shop & café"];
    assert_eq!(app.signing_key.as_deref(), Some(Path::new("/etc/apnsd/AuthKey.p8")));
    assert_eq!((app.loss, app.resend_at_most, app.rate), (Loss::Resend, Some(2), Some(100)));
    assert_eq!(app.retry.attempts, Some(2));
}

#[test]
fn what_is_wrong_with_a_proxy_is_said_by_its_field_and_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let made = rcgen::generate_simple_self_signed(["com.example.shop".to_owned()]).unwrap();
    file("shop.pem", made.cert.pem().as_bytes());
    file("shop.key", made.signing_key.serialize_pem().as_bytes());
    file("password", b"s3cret\n");
    file("none.pem", b"no certificate");
    let examine = |lines: &str| {
        let text = format!("{SHOP}key = \"shop.key\"\n{lines}");
        Config::parse(&text, folder.path()).unwrap().examine(None).problems
    };
    for good in [
        "proxy = \"http://me:s3cret@proxy:3128\"",
        "proxy = \"http://me@proxy\"\nproxy_password_file = \"password\"",
        "proxy = \"environment\"",
    ] {
        assert_eq!(examine(good), [], "{good}");
    }
    for (lines, field, words) in [
        ("proxy = \"ftp://me:s3cret@proxy\"", "proxy", "has to begin with http://"),
        ("proxy = \"http://me:s3cret@proxy:0\"", "proxy", "no number from 1 to 65535"),
        ("proxy_password_file = \"password\"", "proxy_password_file", "there is none"),
        ("proxy = \"environment\"\nproxy_password_file = \"password\"", "proxy_password_file", "variables"),
        ("proxy = \"http://proxy\"\nproxy_password_file = \"password\"", "proxy_password_file", "names no user"),
        ("proxy = \"http://me:x@proxy\"\nproxy_password_file = \"password\"", "proxy_password_file", "two passwords"),
        ("proxy = \"http://me@proxy\"\nproxy_password_file = \"missing\"", "proxy_password_file", "cannot be read"),
        ("proxy = \"https://proxy\"\nproxy_ca = \"none.pem\"", "proxy_ca", "there is no certificate in it"),
    ] {
        let problems = examine(lines);
        let [problem] = &problems[..] else { panic!("{lines}: {problems:?}") };
        assert_eq!(problem.field.as_deref(), Some(&*format!("apps.shop.{field}")), "{problem}");
        assert!(problem.problem.contains(words) && !problem.problem.contains("s3cret"), "{problem}");
    }
}

#[test]
fn the_configuration_to_begin_with_can_be_used() {
    let text = include_str!("../../packaging/apnsd.toml");
    assert_eq!(parse(text).unwrap().api.listen, Some("127.0.0.1:7080".parse().unwrap()));
    // And with everything that is commented out.
    let mut whole = String::new();
    let is_prose =
        |line: &&str| ["# /etc", "# Needed", "# Ports", "# Where"].iter().any(|begin| line.starts_with(begin));
    for line in text.lines().filter(|line| !is_prose(line)) {
        whole.push_str(line.strip_prefix("# ").unwrap_or(line));
        whole.push('\n');
    }
    let whole = whole.replace("file = \"/etc/apnsd/shop.token\"", "secret = \"0123456789abcdef\"");
    let whole = parse(&whole).unwrap();
    assert!(whole.apps["shop"].proxy.is_some() && whole.bridge.is_some_and(|bridge| bridge.clients.len() == 1));
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    let table = [
        ("listen = \"x\"", "listen", "unknown field"),
        ("[api]\nlisten = \"7080\"", "api.listen", ""),
        ("[api]\nmax_batch = 0", "api.max_batch", "1 at least"),
        ("[api]\nlisten = \"127.0.0.1:1\"\nenabled = false", "api.listen", "not at all"),
        ("[outbox]\nkeep_outcomes = \"soon\"", "outbox.keep_outcomes", "a span of time"),
        ("[apps.shop]\ncertificate = \"x\"", "apps.shop", "environment"),
        ("[apps.shop]\nenvironment = \"live\"", "apps.shop.environment", "expected one of `production`"),
        ("[apps.shop]\nenvironment = \"sandbox\"\nretries = 3", "apps.shop.retries", "unknown field"),
        ("[apps.shop]\nenvironment = \"sandbox\"\nport = 70000", "apps.shop.port", "u16"),
        ("[apps.shop.retry]\nattempts = -1", "apps.shop.retry.attempts", ""),
        ("[apps.\"\"]\nenvironment = \"sandbox\"", "apps.", "empty"),
        ("[[token]]\nname = \"x\"\nadmin = true", "token[0].secret", "is needed"),
        ("[[token]]\nname = \"x\"\nsecret = \"0123456789abcdef\"", "token[0].apps", "for which apps"),
        ("[[token]]\nname = \"x\"\nsecret = \"short\"\nadmin = true", "token[0].secret", "this one has 5"),
        ("[[token]]\nname = \"x\"\nfile = \"/nowhere.txt\"\nadmin = true", "token[0].file", "/nowhere.txt"),
        ("[pyapns]\nlisten = \"0.0.0.0:7077\"", "pyapns.listen", "needs access tokens"),
    ];
    for (text, field, problem) in table {
        let (found, why) = wrong(text);
        assert!(found == field && why.contains(problem), "{text}: {found}: {why}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for text in [
        "[[token]]\nname = \"x\"\nsecret = \"s3cret\"\nsecret = \"s3cret\"\n",
        "[[token]]\nname = \"x\"\nsecret = \"s3cret\nadmin = true\n",
        "[[token]]\nname = \"x\"\nadmin = \"s3cret\"\n",
        "[token]\nsecret = \"s3cret\"\n",
        "[apps.shop]\nenvironment = \"sandbox\"\nport = \"s3cret\"\n",
        "[apps.shop]\nenvironment = \"sandbox\"\nretry = \"s3cret\"\n",
        "[api]\nlisten = \"s3cret\"\n",
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn a_key_where_a_path_belongs_is_never_shown() {
    let pem = "-----BEGIN PRIVATE KEY-----\\ns3cret\\n-----END PRIVATE KEY-----\\n";
    let bytes = format!("s3cret{}", "MIIKcQIBAzCCCjc".repeat(100));
    let body = format!("s3cret{}", "MIGHAgEAMBMGByqGSM49".repeat(6));
    for key in [pem, &bytes, &body, "s3cret\\tkey"] {
        let autoprovision = format!(
            r#"{{"autoprovision": [{{"app_id": "shop", "cert": "{key}", "environment": "sandbox", "timeout": 15}}]}}"#
        );
        let toml = |field: &str| {
            format!("[apps.shop]\nenvironment = \"sandbox\"\n{field} = \"{key}\"\nkey_id = \"A\"\nteam_id = \"B\"\n")
        };
        for text in [autoprovision, toml("signing_key"), toml("certificate")] {
            let config = parse(&text).unwrap();
            let definition = config.apps.values().next().unwrap().clone();
            let error =
                definition.resolve(FilesToldTo::Owner).expect_err("it is no path and no certificate").to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
    // What pyapns is given is no path for anybody who looks at the definition either.
    let told = Secret::new("-----BEGIN PRIVATE KEY-----\ns3cret");
    let definition = certificate_or_path(apns_tokio::Environment::Sandbox, &told);
    assert!(!format!("{definition:?}").contains("s3cret"));
}

#[test]
fn a_fault_of_the_text_is_found_by_its_line() {
    assert!(wrong("data = \"x\"\n\n[api\n").1.starts_with("line 3: "), "{:?}", wrong("data = \"x\"\n\n[api\n"));
}

#[test]
fn pyapns_configuration_is_read_as_it_is() {
    let config = parse(
        r#"{
            "port": 7077, "rest_port": 8088, "host": "127.0.0.1",
            "log_file_name": "twistd.log", "log_file_dir": ".", "log_file_rotate_length": 1000000,
            "log_file_mode": null, "log_file_max_rotate": 10,
            "autoprovision": [
                {"app_id": "sandbox:shop", "cert": "certs/shop.pem", "environment": "sandbox", "timeout": 15},
                {"app_id": "shop", "cert": "-----BEGIN CERTIFICATE-----\nabc", "environment": "production", "timeout": 15},
                {"app_id": "shop", "cert": "/other.pem", "environment": "sandbox", "timeout": 15}
            ]
        }"#,
    )
    .unwrap();
    let pyapns = config.pyapns;
    assert_eq!(pyapns.listen, Some("127.0.0.1:7077".parse().unwrap()));
    assert_eq!(pyapns.rest_listen, Some("127.0.0.1:8088".parse().unwrap()));
    assert!(config.apps["shop:sandbox"].certificate.is_some(), "its REST interface knew one app for each environment");
    let path = config.apps["sandbox:shop"].certificate.as_deref();
    assert_eq!(path, Some(Path::new("/etc/apnsd/certs/shop.pem")));
    let inline = &config.apps["shop"];
    assert!(inline.certificate.is_none() && inline.certificate_data.is_some());
    assert!(!format!("{inline:?}").contains("BEGIN CERTIFICATE"));

    let moved = parse(r#"{"port": 1707, "rest_port": 1808, "host": "127.0.0.2"}"#).unwrap().pyapns;
    assert_eq!(moved.listen, Some("127.0.0.2:1707".parse().unwrap()));
    assert_eq!(moved.rest_listen, Some("127.0.0.2:1808".parse().unwrap()));

    let app = r#"{"app_id": "a", "cert": "/a.pem", "environment": "sandbox", "timeout": 15}"#;
    assert_eq!(wrong(&format!("{{\"autoprovision\": [{app}, {app}]}}")).0, "autoprovision[1].app_id");
    assert_eq!(wrong(&format!("{{\"autoprovision\": [{}]}}", app.replace("15", "-1"))).0, "autoprovision[0].timeout");
    assert_eq!(wrong(r#"{"port": "x"}"#).0, "port");
    assert_eq!(wrong(r#"{"autoprovision": [{"app_id": "a"}]}"#).0, "autoprovision[0]");
    let open = wrong(r#"{"host": ""}"#);
    assert_eq!(open.0, "pyapns.listen", "pyapns listened everywhere, and asked nobody for a token");
}

#[test]
fn what_provisioned_apps_have_besides_is_read() {
    let config = parse(
        "[pyapns]\nlocal_time = true\nkeep_apps = true\n[pyapns.app]\ntransport = \"binary\"\nhost = \"gateway\"\nca = \"ca.pem\"",
    );
    let pyapns = config.unwrap().pyapns;
    assert!(pyapns.local_time && pyapns.keep_apps);
    let app = pyapns.app.unwrap();
    assert_eq!((app.transport, app.host.as_deref()), (Transport::Binary, Some("gateway")));
    assert_eq!(app.ca.as_deref(), Some(Path::new("/etc/apnsd/ca.pem")));
    for (text, field) in [
        ("certificate = \"a\"", "pyapns.app.certificate"),
        ("environment = \"sandbox\"", "pyapns.app.environment"),
        ("hots = \"a\"", "pyapns.app.hots"),
        ("port = \"a\"", "pyapns.app.port"),
    ] {
        assert_eq!(wrong(&format!("[pyapns.app]\n{text}")).0, field);
    }
}

#[test]
fn a_definition_is_checked_before_it_is_used() {
    let definition = |text: &str| {
        let definition = AppDefinition::from_json(text.as_bytes()).expect(text);
        definition.resolve(FilesToldTo::Owner).map(|_| ()).expect_err(text).field.unwrap()
    };
    for (text, field) in [
        (r#"{"environment": "sandbox"}"#, "certificate"),
        (r#"{"environment": "sandbox", "certificate": "/nowhere.pem"}"#, "certificate"),
        (r#"{"environment": "sandbox", "certificate_data": "x"}"#, "certificate"),
        (r#"{"environment": "sandbox", "certificate": "/a", "certificate_data": "x"}"#, "certificate"),
        (r#"{"environment": "sandbox", "signing_key_data": "x"}"#, "signing_key"),
        (r#"{"environment": "sandbox", "certificate_data": "x", "signing_key_data": "x"}"#, "signing_key"),
    ] {
        assert_eq!(definition(text), field, "{text}");
    }
    let unknown = AppDefinition::from_json(br#"{"environment": "sandbox", "retry": {"often": 1}}"#).unwrap_err();
    assert_eq!(unknown.field.as_deref(), Some("retry.often"));
    let kept = parse(SHOP).unwrap().apps.remove("shop").unwrap();
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(AppDefinition::from_json(text.as_bytes()), Ok(kept), "what is kept is read again");
}

/// The names that a table may have, as its reader tells them.
fn fields(outer: &str) -> Vec<String> {
    let (_, problem) = wrong(&format!("{outer}no_such_field = 1"));
    let (_, expected) = problem.split_once("expected").expect(&problem);
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn no_field_brings_a_secret_out() {
    let pem = &rcgen::KeyPair::generate().unwrap().serialize_pem();
    let inside: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let piece = &inside[40..60];
    let secrets = [
        (pem.clone(), piece),
        (inside.clone(), piece),
        (inside[..60].to_owned(), piece),
        ("hunter2secret".to_owned(), "hunter2secret"),
        ("eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl".to_owned(), "c2lnbmF0dXJl"),
    ];
    let tables = [
        "",
        "[outbox]\n",
        "[api]\n",
        "[api.tls]\n",
        "[pyapns]\n",
        "[pyapns.app]\n",
        "[bridge]\n",
        "[[bridge.client]]\n",
        "[[token]]\n",
        "[[webhook]]\n",
        "[apps.shop]\n",
        "[apps.shop.retry]\n",
    ];
    let mut tried = 0;
    for table in tables {
        let names = fields(table);
        assert!(!names.is_empty(), "{table}");
        for name in names {
            for (secret, piece) in &secrets {
                let text = serde_json::to_string(secret).unwrap();
                // What else has to be there for the value to be looked at.
                let rest = match table {
                    "[apps.shop]\n" if name != "environment" => "environment = \"sandbox\"\n",
                    "[[token]]\n" if name != "name" => "name = \"x\"\n",
                    "[[bridge.client]]\n" if name != "app" => "app = \"x\"\n",
                    "[[webhook]]\n" if name == "name" => "url = \"http://x\"\nsecret_files = [\"a\"]\n",
                    "[[webhook]]\n" if name == "url" => "name = \"x\"\nsecret_files = [\"a\"]\n",
                    "[[webhook]]\n" if name == "secret_files" => "name = \"x\"\nurl = \"http://x\"\n",
                    "[[webhook]]\n" => "name = \"x\"\nurl = \"http://x\"\nsecret_files = [\"a\"]\n",
                    "[api.tls]\n" if name == "certificate" => "listen = \"127.0.0.1:1\"\nkey = \"a.pem\"\n",
                    "[api.tls]\n" if name == "key" => "listen = \"127.0.0.1:1\"\ncertificate = \"a.pem\"\n",
                    _ => "",
                };
                for value in [text.clone(), secret.clone(), format!("[{text}]"), format!("{{ x = {text} }}")] {
                    let config = format!("{table}{rest}{name} = {value}\n");
                    let said = parse(&config).and_then(|config| config.check_apps());
                    let said = said.err().map(|error| format!("{error} {error:?}")).unwrap_or_default();
                    assert!(!said.contains(piece), "{config}: {said}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
    for (secret, piece) in &secrets {
        for definition in [
            serde_json::json!({"environment": secret}),
            serde_json::json!({"environment": "sandbox", "certificate": secret}),
            serde_json::json!({"environment": "sandbox", "port": secret}),
            serde_json::json!({"environment": "sandbox", "retry": secret}),
            serde_json::json!({"environment": "sandbox", "certificate_data": [secret]}),
            serde_json::json!(secret),
        ] {
            let said = AppDefinition::from_json(definition.to_string().as_bytes())
                .and_then(|app| app.resolve(FilesToldTo::Owner).map(drop));
            let said = said.expect_err("none of these can be used").to_string();
            assert!(!said.contains(piece), "{said}");
        }
    }
}
