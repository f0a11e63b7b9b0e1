use chrono::TimeDelta;

use super::*;
use crate::gate::fixtures::{active, at, grant_id};
use crate::gate::live::{Live, Usage};

fn note(live: &Arc<Live>, path: &str) -> Note {
    Note {
        live: Arc::clone(live),
        before: Vec::new(),
        method: http::Method::GET,
        path: Path::of(&path.parse().unwrap()),
        began: at(0),
        outcome: None,
    }
}

fn live(n: u128) -> Arc<Live> {
    let grant = active(n).grant.unwrap();
    let resource = Arc::new(grant.resource.clone());
    let usage = Arc::<Usage>::default();
    Arc::new(Live::new(&grant, resource, None, TimeDelta::zero(), usage))
}

#[test]
fn what_does_not_fit_is_counted_under_its_grant() {
    let (log, one, two) = (Interactions::with_places(3), live(1), live(2));
    assert_eq!(log.places(), 3);
    for _ in 0..4 {
        log.push(None, note(&one, "/"));
    }
    log.push(None, note(&two, "/"));
    assert_eq!((log.waiting(), log.lost()), (3, 2));
    let lost = log.drain_losses();
    assert_eq!(lost.of_grants, [(grant_id(1), 1), (grant_id(2), 1)].into());
    assert_eq!((lost.of_others, log.drain_losses().of_grants.len()), (0, 0));
    assert_eq!(log.drain(2).len(), 2);
    log.push(None, note(&two, "/"));
    let grants: Vec<_> = log.drain(9).iter().map(Note::grant).collect();
    assert_eq!((grants, log.lost()), (vec![grant_id(1), grant_id(2)], 2));
}

#[test]
fn threads_lose_nothing_that_is_not_counted() {
    const EACH: u64 = 20_000;
    let (log, grants) = (Interactions::with_places(1_000), [1, 2].map(live));
    let done = AtomicUsize::new(0);
    let drained = std::thread::scope(|scope| {
        for n in 0..8 {
            let (log, grants, done) = (&log, &grants, &done);
            scope.spawn(move || {
                for _ in 0..EACH {
                    // Half of them have taken a place before.
                    let place = (n % 2 == 0).then(|| log.take().map(|ring| Place(Some(Arc::clone(ring)))));
                    log.push(place.flatten(), note(&grants[n % 2], "/"));
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        let mut drained = 0;
        loop {
            let over = done.load(Ordering::SeqCst) == 8;
            drained += log.drain(97).len() as u64;
            if over && log.waiting() == 0 {
                return drained;
            }
        }
    });
    let lost = log.drain_losses();
    let told: u64 = lost.of_grants.values().sum();
    assert_eq!(told + lost.of_others, log.lost());
    assert_eq!(drained + log.lost(), 8 * EACH);
    let free = log
        .rings
        .iter()
        .all(|ring| ring.taken.load(Ordering::SeqCst) == 0);
    assert!(free, "a place was not given back");
}

#[test]
fn a_place_is_kept_until_it_is_filled_and_drained() {
    let (log, grant) = (Interactions::with_places(2), live(1));
    assert!(log.reserve().unwrap().is_none(), "nobody asked for places");
    log.set_on_full(OnFull::Refuse);
    let (one, two) = (log.reserve().unwrap(), log.reserve().unwrap());
    assert!(log.reserve().is_err());
    drop(one);
    let one = log.reserve().unwrap();
    assert!(log.reserve().is_err());
    for place in [one, two] {
        log.push(place, note(&grant, "/"));
    }
    assert!(log.reserve().is_err(), "what waits has a place");
    assert_eq!((log.drain(9).len(), log.lost()), (2, 0));
    let place = log.reserve().unwrap();
    // Two records of one admission: the second has no room of its own, and says so if there is none.
    let copy = place.clone();
    let other = log.reserve();
    assert!(other.is_err());
    log.push(place, note(&grant, "/"));
    log.push(copy, note(&grant, "/"));
    assert_eq!((log.waiting(), log.lost()), (2, 0));
}

#[test]
fn many_places_are_spread_and_all_of_them_are_used() {
    let (log, grant) = (Interactions::with_places(4 * RING_MIN), live(1));
    for _ in 0..log.places() {
        log.push(None, note(&grant, "/"));
    }
    assert_eq!((log.waiting(), log.lost()), (log.places(), 0));
    log.push(None, note(&grant, "/"));
    assert_eq!(log.lost(), 1);
}

#[test]
fn a_path_is_written_without_what_rewrites_text() {
    for (raw, written) in [
        ("/admin/a", "/admin/a"),
        ("/admin/%41%20b", "/admin/A b"),
        ("/admin/%E2%80%AEtxt", "/admin/%E2%80%AEtxt"),
        ("/admin/%C3%A9", "/admin/\u{e9}"),
        // Never admitted.
        ("/admin/%00%2F", "/admin/%00%2F"),
    ] {
        assert_eq!(note(&live(1), raw).path(), written, "{raw}");
    }
}
