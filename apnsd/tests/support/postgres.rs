//! A PostgreSQL server for the tests of a program: started with the first test that wants it, and stopped with the program.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The name that the server runs under, where the tests run as root: it refuses to be root.
const OWNER: &str = "postgres";

/// A server.
pub(crate) struct Server {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    process: Mutex<Option<Child>>,
    /// Stops the server when its input ends, which it does with this value or with this process, however that ends.
    watchdog: Option<Child>,
    databases: AtomicU32,
}

/// The server of this program; `None` where there is none to be had. That is an error where `APNSD_REQUIRE_POSTGRES` is set.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::alone).as_ref()
}

/// Where `initdb` and `postgres` are.
fn programs() -> Option<PathBuf> {
    let given = std::env::var_os("APNSD_PG_BIN").map(PathBuf::from).into_iter();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths: Vec<PathBuf> = std::env::split_paths(&path).collect();
    given.chain(versions.into_iter().rev()).chain(paths).find(|folder| folder.join("initdb").exists())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// A program of the server, as its owner where this is root.
fn program(path: &Path) -> Command {
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", OWNER, "--regid", OWNER, "--clear-groups"]).arg(path);
    command
}

impl Server {
    /// One that no other test uses, and that may be crashed.
    #[expect(clippy::print_stderr, reason = "who runs the tests is to know what was left out")]
    pub(crate) fn alone() -> Option<Self> {
        let programs = programs();
        if programs.is_none() {
            let required = std::env::var_os("APNSD_REQUIRE_POSTGRES").is_some_and(|value| value == "1");
            assert!(!required, "APNSD_REQUIRE_POSTGRES is set, and there is no initdb");
            eprintln!("skipped: there is no initdb (APNSD_PG_BIN, PATH, /usr/lib/postgresql)");
        }
        programs.map(Self::start)
    }

    /// In memory where the system has a place for it, so that the tests do not wait for a disk. The server syncs as it has to.
    fn start(programs: PathBuf) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = parent.join(format!("apnsd-postgres-{}-{:x}", std::process::id(), random()));
        std::fs::create_dir(&folder).unwrap();
        if is_root() {
            assert!(Command::new("chown").arg(OWNER).arg(&folder).status().unwrap().success());
        }
        let data = folder.join("data");
        let made = program(&programs.join("initdb"))
            .args(["--auth=trust", "--username=apnsd", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Free at this moment; another program may take it before the server does, and then the server says so.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (process, databases) = (Mutex::default(), AtomicU32::new(0));
        let mut server = Self { folder, programs, port, process, watchdog: None, databases };
        server.launch();
        let wait = "cat > /dev/null; read -r pid < \"$1/data/postmaster.pid\"; kill -INT \"$pid\"; i=0
            while [ -e \"$1/data/postmaster.pid\" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done; rm -rf \"$1\"";
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", wait, "watchdog"]).arg(&server.folder).stdin(Stdio::piped());
        watchdog.stdout(Stdio::null()).stderr(Stdio::null());
        server.watchdog = Some(watchdog.spawn().unwrap());
        server
    }

    /// Starts the server, and waits until it answers.
    fn launch(&self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut server = program(&self.programs.join("postgres"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "max_connections=300", "-c", "restart_after_crash=on"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.answers() {
            let ended = server.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "the server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.process.lock() = Some(server);
    }

    /// The server ends without finishing anything, and is started again.
    #[allow(dead_code, reason = "not every program crashes its server")]
    pub(crate) fn crash(&self) {
        if let Some(mut server) = self.process.lock().take() {
            assert!(Command::new("kill").args(["-QUIT", &server.id().to_string()]).status().unwrap().success());
            server.wait().unwrap();
        }
        self.launch();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Whether it takes queries: it answers to a start of a session that it cannot read in full otherwise.
    fn answers(&self) -> bool {
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let parameters = b"user\0apnsd\0database\0postgres\0\0";
        let mut start = Vec::new();
        start.extend_from_slice(&u32::try_from(8 + parameters.len()).unwrap().to_be_bytes());
        start.extend_from_slice(&196_608_u32.to_be_bytes());
        start.extend_from_slice(parameters);
        let mut first = [0];
        // `R` for the authentication that is over, `E` for one that is refused, because it is starting still.
        stream.write_all(&start).is_ok() && stream.read_exact(&mut first).is_ok() && first == [b'R']
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://apnsd@127.0.0.1:{}/{database}", self.port)
    }

    /// A database of one's own.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        execute(&self.url("postgres"), &format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    u64::from_ne_bytes(bytes)
}

/// Has the server do something.
pub(crate) async fn execute(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let driven = tokio::spawn(connection);
    client.batch_execute(statements).await.unwrap();
    drop(client);
    driven.await.unwrap().unwrap();
}

impl Drop for Server {
    fn drop(&mut self) {
        // With the end of its input it goes about it.
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            drop(watchdog.wait());
        }
        if let Some(mut server) = self.process.lock().take() {
            drop(server.wait());
        }
    }
}
