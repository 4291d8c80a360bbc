//! What a phone shows, told as what comes and what is seen.

use apns_proto::WallTime;
use apns_proto::internal::from_hex;
use bytes::Bytes;

use super::{Activity, Banner, Card, Level, Screen, Stage};
use crate::content::Text;
use crate::names::Names;
use crate::store::Store;
use crate::testing::{Push, START, TOKEN};

const CHANNEL: &str = "dHN0LXNyY2g";

fn token() -> Bytes {
    from_hex(TOKEN, |_| false).unwrap().into()
}

fn seconds(after: u64) -> WallTime {
    WallTime::from_millis(START + after * 1000)
}

/// A store with one device.
struct World {
    store: Store,
    came: u64,
}

impl World {
    fn new() -> Self {
        Self { store: Store::new(1000), came: 0 }
    }

    fn push(&mut self, push: &Push) -> u64 {
        self.came += 1;
        self.store.note(&push.entry(self.came));
        self.came
    }

    /// The phone so many seconds behind the start.
    fn screen(&self, after: u64) -> Screen {
        Screen::of(&token(), &self.store.snapshot(), &Names::default(), seconds(after))
    }
}

fn alert(title: &str) -> Push {
    Push::new(&format!(r#"{{"aps":{{"alert":{{"title":"{title}"}}}}}}"#))
}

fn banners(screen: &Screen) -> Vec<&Banner> {
    let cards = screen.screen.iter();
    cards.filter_map(|card| if let Card::Banner(banner) = card { Some(&**banner) } else { None }).collect()
}

fn activities(screen: &Screen) -> Vec<&Activity> {
    let cards = screen.screen.iter();
    cards.filter_map(|card| if let Card::Activity(activity) = card { Some(&**activity) } else { None }).collect()
}

fn titles(screen: &Screen) -> Vec<String> {
    banners(screen).iter().map(|banner| banner.title.as_ref().map(Text::to_string).unwrap_or_default()).collect()
}

#[test]
fn banners_stand_with_the_newest_first() {
    let mut world = World::new();
    for title in ["one", "two", "three"] {
        world.push(&alert(title));
    }
    world.push(&alert("elsewhere").to("bb"));
    world.push(&alert("refused").refused(400, "BadTopic"));
    let screen = world.screen(1);
    assert_eq!(titles(&screen), ["three", "two", "one"]);
    assert_eq!((screen.refused.len(), screen.refused[0].answer.as_deref()), (1, Some("400 BadTopic")));
}

#[test]
fn a_collapse_id_of_the_same_app_replaces() {
    let mut world = World::new();
    for title in ["one", "two", "three"] {
        world.push(&alert(title).collapse("order-17"));
    }
    world.push(&alert("other app").collapse("order-17").topic("com.example.chat"));
    world.push(&alert("other id").collapse("order-18"));
    let screen = world.screen(1);
    assert_eq!(titles(&screen), ["other id", "other app", "three"]);
    assert_eq!(banners(&screen)[2].replaced, 2);
    assert_eq!(banners(&screen)[0].replaced, 0);
}

#[test]
fn a_thread_is_one_pile_of_its_app() {
    let mut world = World::new();
    let threaded = |title: &str| Push::new(&format!(r#"{{"aps":{{"alert":{{"title":"{title}"}},"thread-id":"t"}}}}"#));
    world.push(&threaded("one"));
    world.push(&alert("between"));
    world.push(&threaded("two"));
    world.push(&threaded("elsewhere").topic("com.example.chat"));
    let screen = world.screen(1);
    assert_eq!(titles(&screen), ["elsewhere", "two", "between"]);
    let earlier: Vec<u64> = banners(&screen)[1].earlier.iter().map(|banner| banner.seq).collect();
    assert_eq!(earlier, [1]);
}

#[test]
fn the_badge_is_the_last_one_and_zero_takes_it_away() {
    let mut world = World::new();
    let badge = |number: u64| Push::new(&format!(r#"{{"aps":{{"alert":"a","badge":{number}}}}}"#));
    world.push(&badge(3));
    world.push(&badge(5));
    world.push(&badge(9).refused(410, "Unregistered"));
    let screen = world.screen(1);
    assert_eq!(screen.badges["com.example.app"], 5);
    assert_eq!(banners(&screen)[0].badge, Some((3, 5)));
    world.push(&Push::new(r#"{"aps":{"badge":0}}"#));
    let screen = world.screen(1);
    assert!(screen.badges.is_empty());
    assert!(screen.behind[0].does.contains("from 5 to none"), "{:?}", screen.behind);
}

#[test]
fn interruption_levels_are_told_apart() {
    let mut world = World::new();
    for aps in [
        r#""interruption-level":"passive""#,
        r#""interruption-level":"time-sensitive""#,
        r#""interruption-level":"critical""#,
        r#""sound":{"critical":1,"name":"alarm.caf","volume":0.8}"#,
        r#""interruption-level":"loud""#,
    ] {
        world.push(&Push::new(&format!(r#"{{"aps":{{"alert":"a",{aps}}}}}"#)));
    }
    let screen = world.screen(1);
    let levels: Vec<Level> = banners(&screen).iter().map(|banner| banner.level).collect();
    assert_eq!(levels, [Level::Active, Level::Critical, Level::Critical, Level::TimeSensitive, Level::Passive]);
}

#[test]
fn each_type_without_a_banner_is_a_row_that_says_what_the_device_would_do() {
    let mut world = World::new();
    let types = [
        ("background", r#"{"aps":{"content-available":1}}"#, "Wakes the app"),
        ("voip", "{}", "Rings"),
        ("complication", "{}", "complication"),
        ("controls", "{}", "controls"),
        ("widgets", "{}", "widgets"),
        ("pushtotalk", "{}", "who speaks"),
        ("location", "{}", "Location Push"),
        ("fileprovider", r#"{"container-identifier":"inbox/"}"#, "inbox/"),
        ("accessory", "{}", "accessory"),
    ];
    for (push_type, payload, _) in types {
        world.push(&Push::of_type(push_type, payload));
    }
    world.push(&Push::of_type("mdm", r#"{"mdm":"x"}"#).topic("com.apple.mgmt.External.1"));
    world.push(&Push::new(r#"{"aps":{}}"#).topic("pass.com.example"));
    world.push(&Push::new(r#"{"aps":{"sound":"default"}}"#));
    let screen = world.screen(1);
    assert!(screen.screen.is_empty());
    let mut rows = screen.behind.iter().rev();
    for (push_type, _, does) in types {
        let row = rows.next().unwrap();
        assert!(row.kind == push_type && row.does.contains(does), "{row:?}");
    }
    let rest: Vec<&str> = rows.map(|row| row.kind.as_str()).collect();
    assert_eq!(rest, ["mdm", "alert, pass", "alert, sound only"]);
}

fn live(aps: &str) -> Push {
    Push::of_type("liveactivity", &format!("{{\"aps\":{{{aps}}}}}"))
}

const BEGIN: &str = r#""timestamp":1795961000,"event":"start","attributes-type":"Trip","attributes":{"no":7},
    "content-state":{"eta":"14:25"},"stale-date":1795961100,"alert":{"title":"On its way"}"#;

#[test]
fn a_live_activity_starts_changes_becomes_stale_ends_and_leaves() {
    let mut world = World::new();
    world.push(&live(BEGIN));
    let screen = world.screen(1);
    let activity = activities(&screen)[0];
    assert_eq!(
        (activity.attributes_type.as_deref(), activity.now, activity.alerted),
        (Some("Trip"), Stage::Active, true)
    );
    assert_eq!((&activity.state["eta"], &activity.attributes["no"]), (&"14:25".into(), &7.into()));
    assert_eq!(activities(&world.screen(101))[0].now, Stage::Stale);

    world.push(&live(r#""timestamp":1795961050,"event":"update","content-state":{"eta":"14:40"}"#).after(50));
    let older =
        world.push(&live(r#""timestamp":1795961040,"event":"update","content-state":{"eta":"13:00"}"#).after(51));
    let screen = world.screen(101);
    let activity = activities(&screen)[0];
    assert_eq!((&activity.state["eta"], activity.now, activity.ignored), (&"14:40".into(), Stage::Active, 1));
    assert_eq!(screen.behind[0].seq, older);

    let end = r#""timestamp":1795961200,"event":"end","content-state":{"eta":"there"},"dismissal-date":1795961500"#;
    world.push(&live(end).after(200));
    world.push(&live(r#""timestamp":1795961300,"event":"update","content-state":{"eta":"?"}"#).after(300));
    let screen = world.screen(301);
    let activity = activities(&screen)[0];
    assert_eq!(
        (&activity.state["eta"], activity.now, activity.leaves_at),
        (&"there".into(), Stage::Ended, Some(1_795_961_500))
    );
    let events: Vec<&str> = activity.events.iter().map(|step| step.event).collect();
    assert_eq!(events, ["start", "update", "end"]);
    assert!(screen.behind.iter().any(|row| row.does.contains("has ended")));

    let screen = world.screen(501);
    assert!(activities(&screen).is_empty());
    assert!(screen.behind.iter().any(|row| row.does.contains("has left the screen")));
}

#[test]
fn without_a_dismissal_date_an_ended_activity_stays_for_four_hours_at_most() {
    for wanted in ["", r#","dismissal-date":1999999999"#] {
        let mut world = World::new();
        world.push(&live(&format!(r#""timestamp":1795961000,"event":"end"{wanted}"#)));
        assert_eq!(activities(&world.screen(4 * 3600 - 1)).len(), 1);
        assert_eq!(activities(&world.screen(4 * 3600)).len(), 0);
    }
}

#[test]
fn a_start_that_a_device_drops_is_no_card() {
    let mut world = World::new();
    world.push(&live(r#""timestamp":1,"event":"start","attributes-type":"Trip","attributes":{},"content-state":{}"#));
    world.push(&live(r#""timestamp":1,"event":"start","attributes":{},"content-state":{},"alert":"a""#));
    world.push(&live(r#""timestamp":1,"event":"begin""#));
    world.push(&Push::of_type("liveactivity", "{}"));
    let screen = world.screen(1);
    assert!(screen.screen.is_empty());
    assert_eq!(screen.behind.len(), 4);
}

#[test]
fn a_broadcast_reaches_the_devices_that_follow_its_channel() {
    let mut world = World::new();
    let update = r#"{"aps":{"timestamp":1795961010,"event":"update","content-state":{"score":"1:0"}}}"#;
    world.push(&Push::broadcast(CHANNEL, update));
    assert!(world.screen(1).screen.is_empty(), "nobody follows yet");
    world.push(&live(&format!("{BEGIN},\"input-push-channel\":\"{CHANNEL}\"")));
    world.push(&Push::broadcast(CHANNEL, update).after(10));
    world.push(&Push::broadcast("b3RoZXI", update).after(11));
    let screen = world.screen(20);
    let activity = activities(&screen)[0];
    assert_eq!((&activity.state["score"], activity.seq, activity.followers), (&"1:0".into(), 3, 1));
    assert_eq!(activity.channel.as_deref(), Some(CHANNEL));

    // By hand as well.
    world.store.follow_only(&token(), ["b3RoZXI".to_owned()].into()).unwrap();
    assert_eq!(
        activities(&world.screen(20)).iter().map(|one| one.channel.as_deref()).collect::<Vec<_>>(),
        [Some("b3RoZXI"), Some(CHANNEL)]
    );
}

#[test]
fn a_device_that_is_away_gets_the_latest_of_each_app_when_it_is_back() {
    let mut world = World::new();
    world.store.go_offline(&token(), seconds(0)).unwrap();
    let first = world.push(&alert("first").after(1));
    world.push(&alert("chat").topic("com.example.chat").after(2));
    world.push(&alert("once").topic("com.example.once").expires(0).after(3));
    world.push(&alert("sale").topic("com.example.sale").expires(START / 1000 + 10).after(4));
    world.push(&alert("second").after(5));
    let screen = world.screen(6);
    assert!(screen.screen.is_empty());
    assert_eq!(screen.held.len(), 3);
    let lost: Vec<&str> = screen.behind.iter().map(|row| row.does.as_str()).collect();
    assert!(lost.iter().any(|does| does.contains("push 5 for the same app")), "{lost:?}");
    assert!(lost.iter().any(|does| does.contains("one attempt")), "{lost:?}");

    world.store.come_back(&token(), seconds(20));
    world.push(&alert("after").after(21));
    let screen = world.screen(22);
    assert!(screen.held.is_empty());
    assert_eq!(titles(&screen), ["after", "second", "chat", "sale"]);
    let sale = banners(&screen)[3];
    assert_eq!((sale.expired_at, banners(&screen)[1].late), (Some(START / 1000 + 10), true));
    assert_eq!(banners(&screen)[1].at, seconds(20));
    assert!(screen.behind.iter().any(|row| row.seq == first));
}

#[test]
fn the_screen_is_bounded_and_says_how_many_more_there_are() {
    let mut world = World::new();
    for number in 0..250 {
        world.push(&alert(&format!("n {number}")));
        world.push(&Push::of_type("voip", "{}"));
    }
    let screen = world.screen(1);
    assert_eq!((screen.screen.len(), screen.behind.len(), screen.more), (100, 100, 300));
}
