//! What `load`, `find`, `live` and `feed` show.

use std::sync::Arc;

use super::{
    at, everything, facets, found, live, loaded, log, person, put, request, resource, verified, write,
};
use crate::approval::audit::Tail;
use crate::approval::state::State;
use crate::broker::store::{Draft, Facets, PAGE_MAX, Position, Query, Store, StreamId, Write};
use crate::id::GrantId;

/// Requests 1 to 12 of two persons for three resources in four states, a person's stream and the lockdowns.
async fn furnish(store: &dyn Store) {
    let states = [State::Pending, State::Active, State::Denied, State::Expired];
    for n in 1..=12_u8 {
        let facets = Facets {
            state: states.get(usize::from(n % 4)).copied(),
            resource: Some(resource(["admin", "api", "docs"][usize::from(n % 3)])),
            requester: Some(person(["ada", "bob"][usize::from(n % 2)])),
        };
        put(
            store,
            [Write {
                facets,
                ..write(&request(n.into()), 0)
            }],
        )
        .await;
    }
    for stream in [StreamId::Person(person("ada")), StreamId::Lockdowns] {
        put(
            store,
            [Write {
                facets: Facets::default(),
                ..write(&stream, 0)
            }],
        )
        .await;
    }
}

/// `tail` is the last record of the log: what the next one is linked to.
pub async fn the_tail_is_the_last_record<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    assert!(matches!(store.tail().await, Ok(Tail::START)));
    furnish(&*store).await;
    let last = log(&*store).await.last().map(Tail::after);
    assert_eq!(store.tail().await.ok(), last);
}

/// `find` lists the requests for which every named facet agrees, and no streams that are none.
pub async fn find_selects_by_every_facet<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    furnish(&*store).await;
    let query = |states: &[State], at: Option<&str>, by: Option<&str>| Query {
        states: states.to_vec(),
        resource: at.map(resource),
        requester: by.map(person),
        ..everything()
    };
    for (query, want) in [
        (
            query(&[], None, None),
            vec![12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
        ),
        (query(&[State::Active], None, None), vec![9, 5, 1]),
        (
            query(&[State::Active, State::Pending], None, None),
            vec![12, 9, 8, 5, 4, 1],
        ),
        (query(&[State::Revoked], None, None), vec![]),
        (query(&[], Some("docs"), None), vec![11, 8, 5, 2]),
        (query(&[], Some("doc"), None), vec![]),
        (query(&[], Some("DOCS"), None), vec![]),
        (query(&[], None, Some("bob")), vec![11, 9, 7, 5, 3, 1]),
        (query(&[], None, Some("b%")), vec![]),
        (query(&[], Some("api"), Some("ada")), vec![10, 4]),
        (query(&[State::Denied], Some("api"), Some("ada")), vec![10]),
        (query(&[State::Expired], Some("api"), Some("ada")), vec![]),
    ] {
        let want: Vec<_> = want.into_iter().map(request).collect();
        assert_eq!(found(&*store, &query).await, want, "{query:?}");
    }
}

/// `find` answers newest first, and its pages by `before` neither miss nor repeat a request.
pub async fn find_pages_newest_first<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    furnish(&*store).await;
    for (states, all) in [(vec![], 12), (vec![State::Pending, State::Expired], 6)] {
        for limit in 1..=13 {
            let (mut before, mut walked) = (None, Vec::<Position>::new());
            loop {
                let query = Query {
                    states: states.clone(),
                    before,
                    limit,
                    ..Query::default()
                };
                let page = store.find(&query).await.expect("a page");
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                before = Some(last.created);
                walked.extend(page.iter().map(|snapshot| snapshot.created));
            }
            assert_eq!(walked.len(), all, "in pages of {limit}");
            assert!(
                walked.is_sorted_by(|newer, older| newer > older),
                "in pages of {limit}"
            );
        }
    }
    assert_eq!(
        found(
            &*store,
            &Query {
                limit: 0,
                ..Query::default()
            }
        )
        .await,
        []
    );
    assert_eq!(
        found(
            &*store,
            &Query {
                before: Some(0),
                ..everything()
            }
        )
        .await,
        []
    );
    assert_eq!(
        found(
            &*store,
            &Query {
                before: Some(Position::MAX),
                ..everything()
            }
        )
        .await
        .len(),
        12
    );
}

/// A query goes by the facets written last, and a stream keeps its place in the order of creation.
pub async fn find_follows_a_change_of_facets<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    put(&*store, [write(&request(1), 0)]).await;
    put(&*store, [write(&request(2), 0)]).await;
    let created = loaded(&*store, &request(1)).await.created;
    let moved = Facets {
        state: Some(State::Denied),
        resource: Some(resource("api")),
        requester: Some(person("bob")),
    };
    put(
        &*store,
        [Write {
            facets: moved.clone(),
            ..write(&request(1), 1)
        }],
    )
    .await;

    let in_state = |state| Query {
        states: vec![state],
        ..everything()
    };
    assert_eq!(found(&*store, &in_state(State::Pending)).await, [request(2)]);
    assert_eq!(found(&*store, &in_state(State::Denied)).await, [request(1)]);
    assert_eq!(
        found(
            &*store,
            &Query {
                requester: Some(person("ada")),
                ..everything()
            }
        )
        .await,
        [request(2)]
    );
    assert_eq!(
        found(
            &*store,
            &Query {
                resource: Some(resource("api")),
                ..everything()
            }
        )
        .await,
        [request(1)]
    );
    let snapshot = loaded(&*store, &request(1)).await;
    assert_eq!((snapshot.created, snapshot.facets), (created, moved));
    assert_eq!(found(&*store, &everything()).await, [request(2), request(1)]);
}

/// `live` answers oldest first what is not final, and its pages neither miss nor repeat a stream.
pub async fn live_pages_oldest_first<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    furnish(&*store).await;
    let want: Vec<_> = [1, 4, 5, 8, 9, 12].map(request).into();
    assert_eq!(live(&*store, 0).await, want);
    for limit in 1..=7 {
        let (mut after, mut walked) = (0, Vec::new());
        loop {
            let page = store.live(after, limit).await.expect("a page");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = last.created;
            walked.extend(page.into_iter().map(|snapshot| snapshot.stream));
        }
        assert_eq!(walked, want, "in pages of {limit}");
    }
    assert_eq!(store.live(0, 0).await.expect("a page of none"), []);
    assert_eq!(live(&*store, Position::MAX).await, []);
}

/// A stream is live from its first live state to its last, whatever it was before.
pub async fn a_stream_leaves_live_when_it_ends<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    for (version, state) in (0..).zip(State::ALL) {
        put(
            &*store,
            [Write {
                facets: facets(state),
                ..write(&request(1), version)
            }],
        )
        .await;
        let want = if state.is_terminal() {
            vec![]
        } else {
            vec![request(1)]
        };
        assert_eq!(live(&*store, 0).await, want, "{state}");
    }
    put(
        &*store,
        [Write {
            facets: Facets::default(),
            ..write(&StreamId::Control, 0)
        }],
    )
    .await;
    assert_eq!(live(&*store, 0).await, [], "what is no request is not live");
}

/// `feed` answers records in order, after a position, in pages that neither miss nor repeat one.
pub async fn the_feed_pages_in_order<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let mut written = Vec::new();
    for n in 0..7 {
        written.extend(put(&*store, [write(&request(n), 0), write(&request(100 + n), 0)]).await);
    }
    for limit in 1..=15 {
        let (mut after, mut walked) = (0, Vec::new());
        loop {
            let page = store.feed(after, limit).await.expect("a page");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = last.position;
            walked.extend(page);
        }
        assert_eq!(walked, written, "in pages of {limit}");
    }
    assert_eq!(store.feed(0, 0).await.expect("a page of none"), []);
    for beyond in [14, 15, Position::MAX] {
        assert_eq!(
            store.feed(beyond, 10).await.expect("a page beyond the end"),
            [],
            "after {beyond}"
        );
    }
}

/// Nothing there is an answer, not an error.
pub async fn an_empty_store_answers_emptily<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    assert_eq!(store.load(&request(1)).await.expect("a load"), None);
    assert_eq!(found(&*store, &everything()).await, []);
    assert_eq!(live(&*store, 0).await, []);
    assert_eq!(log(&*store).await, []);
}

/// No page is longer than [`PAGE_MAX`], whatever was asked for.
pub async fn pages_are_clamped<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let over = PAGE_MAX as u128 + 5;
    let all: Vec<_> = (0..over).collect();
    for some in all.chunks(50) {
        put(&*store, some.iter().map(|n| write(&request(*n), 0))).await;
    }
    for limit in [PAGE_MAX, PAGE_MAX + 1, usize::MAX] {
        let query = Query {
            limit,
            ..Query::default()
        };
        assert_eq!(store.find(&query).await.expect("a find").len(), PAGE_MAX);
        assert_eq!(
            store.live(0, limit).await.expect("a list of what is live").len(),
            PAGE_MAX
        );
        assert_eq!(store.feed(0, limit).await.expect("a feed").len(), PAGE_MAX);
    }
    assert_eq!(verified(&*store).await.position, PAGE_MAX as u64 + 5);
}

/// Reads see every append that was acknowledged before they began.
pub async fn reads_see_acknowledged_writes<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let stream = request(1);
    for version in 0..50 {
        let body = format!(r#"{{"n":{version}}}"#);
        let draft = Draft {
            at: at(0),
            body: body.clone(),
        };
        put(
            &*store,
            [Write {
                events: vec![draft],
                ..write(&stream, version)
            }],
        )
        .await;
        assert_eq!(loaded(&*store, &stream).await.version, version + 1);
        let newest = store.feed(version, 10).await.expect("a feed");
        assert_eq!(
            newest.iter().map(|record| &*record.body).collect::<Vec<_>>(),
            [body]
        );
        assert_eq!(
            store.find(&everything()).await.expect("a find")[0].version,
            version + 1
        );
        assert_eq!(
            store.live(0, 10).await.expect("a list of what is live")[0].version,
            version + 1
        );
    }
}

/// Streams are told apart by kind and by the whole of their name.
pub async fn streams_of_different_kinds_do_not_meet<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let long = "p".repeat(256);
    let names = [
        "lockdowns",
        "control",
        "Ada",
        "ada",
        "ada/1",
        "a%",
        "a_",
        "\u{e9}",
        "e\u{301}",
        &long,
    ];
    let persons = names.map(|name| StreamId::Person(person(name)));
    let others = [
        StreamId::Lockdowns,
        StreamId::Control,
        StreamId::Passkeys(person("ada")),
        StreamId::Interactions(GrantId::from_u128(0)),
        StreamId::InteractionIndex(GrantId::from_u128(0), 0),
        StreamId::InteractionIndex(GrantId::from_u128(0), u64::MAX),
        request(0),
        request(u128::MAX),
    ];
    let streams: Vec<_> = persons.into_iter().chain(others).collect();
    for (n, stream) in streams.iter().enumerate() {
        put(
            &*store,
            [Write {
                state: n.to_string(),
                ..write(stream, 0)
            }],
        )
        .await;
    }
    for (n, stream) in streams.iter().enumerate() {
        let snapshot = loaded(&*store, stream).await;
        assert_eq!((snapshot.stream, snapshot.state), (stream.clone(), n.to_string()));
    }
    let logged: Vec<_> = log(&*store)
        .await
        .into_iter()
        .map(|record| record.stream)
        .collect();
    assert_eq!(logged, streams);
}
