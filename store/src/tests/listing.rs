//! Calls by page, by filter and in order.

use super::*;

/// Ten processed calls, one a day: even ones Ann's, odd ones Bob's; moods from -0.9 to 0.9.
async fn listed(store: &Store) {
    for number in 0..10 {
        let agent = if number % 2 == 0 { "ann" } else { "bob" };
        let mut call = new_call(number, agent);
        if number == 4 {
            call.transcript_customer = "The CAFÉ refund near(me) is \"lost\" 漢字 don't".to_owned();
        }
        let mut found = insights(0.5, -0.9 + 0.2 * f64::from(number));
        let angle = number as f32 / 10.0;
        found.embedding = vec![angle.cos(), angle.sin()];
        store.record_insights(&call, &found).await.unwrap();
    }
    store
        .insert_page(&page(vec![new_call(20, "ann")], 1))
        .await
        .unwrap();
}

async fn total(store: &Store, filter: CallFilter) -> u64 {
    let page = store.calls(&filter).await.unwrap();
    assert_eq!(page.total, page.calls.len() as u64);
    page.total
}

#[tokio::test]
async fn filters_narrow_the_listing() {
    for Fresh { store, .. } in stores().await {
        listed(&store).await;
        let all = CallFilter::default();
        assert_eq!(total(&store, all.clone()).await, 10);
        let agent_id = Some("ann".to_owned());
        assert_eq!(
            total(
                &store,
                CallFilter {
                    agent_id,
                    ..all.clone()
                }
            )
            .await,
            5
        );
        let (from, to) = (Some(day(3)), Some(day(5)));
        assert_eq!(
            total(
                &store,
                CallFilter {
                    from,
                    to,
                    ..all.clone()
                }
            )
            .await,
            3
        );
        let (min_sentiment, max_sentiment) = (Some(-0.5), Some(0.0));
        let between = CallFilter {
            min_sentiment,
            max_sentiment,
            ..all
        };
        assert_eq!(total(&store, between).await, 3);
    }
}

#[tokio::test]
async fn pages_are_newest_first_and_know_the_total() {
    for Fresh { store, .. } in stores().await {
        listed(&store).await;
        let filter = |offset| CallFilter {
            limit: 4,
            offset,
            ..Default::default()
        };
        let page = store.calls(&filter(8)).await.unwrap();
        assert_eq!(page.total, 10);
        let days: Vec<_> = page.calls.iter().map(|call| call.start_time).collect();
        assert_eq!(days, [day(2), day(1)]);
        let beyond = store.calls(&filter(u64::MAX)).await.unwrap();
        assert_eq!((beyond.total, beyond.calls.len()), (10, 0));
    }
}

#[tokio::test]
async fn search_takes_words_and_only_words() {
    for Fresh { store, .. } in stores().await {
        listed(&store).await;
        let found = async |q: &str| {
            let q = Some(q.to_owned());
            total(
                &store,
                CallFilter {
                    q,
                    ..Default::default()
                },
            )
            .await
        };
        for q in [
            "refund",
            "REFUND lost",
            "near(me)",
            "\"lost\"",
            "漢字",
            "don't",
            "café",
        ] {
            assert_eq!(found(q).await, 1, "{q}");
        }
        for q in [
            "refund OR late",
            "refund late",
            "NOT refund hello",
            "ref*",
            "refun",
            "😀",
        ] {
            assert_eq!(found(q).await, 0, "{q}");
        }
        for q in [
            "'; DROP TABLE call; --",
            "a\0b",
            "\"",
            "(",
            "transcript_agent : sorry",
            "*:",
        ] {
            assert_eq!(found(q).await, 0, "{q}");
        }
        assert_eq!(found("late hello").await, 9);
        assert_eq!(found("  ").await, 10);
    }
}

#[tokio::test]
async fn search_survives_a_vacuum() {
    let fresh = sqlite().await;
    let store = &fresh.store;
    listed(store).await;
    let delete = "DELETE FROM call WHERE agent_id = 'bob'; VACUUM;";
    store.db.execute_unprepared(delete).await.unwrap();
    let q = Some("refund".to_owned());
    let page = store
        .calls(&CallFilter {
            q,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(page.calls[0].call_id, new_call(4, "").call_id);
}

#[tokio::test]
async fn a_call_is_found_once_processed() {
    for Fresh { store, .. } in stores().await {
        listed(&store).await;
        let id = |number| new_call(number, "").call_id;
        assert_eq!(store.call(id(7)).await.unwrap().unwrap().agent_id, "bob");
        assert_eq!(store.call(id(20)).await.unwrap(), None);
        assert_eq!(store.call(Uuid::nil()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn similar_calls_are_the_nearest_without_the_call_itself() {
    for Fresh { store, .. } in stores().await {
        listed(&store).await;
        let id = |number| new_call(number, "").call_id;
        let similar = store.similar(id(9), 3).await.unwrap();
        let ids: Vec<Uuid> = similar.iter().map(|call| call.call_id).collect();
        assert_eq!(ids, [id(8), id(7), id(6)]);
        assert_eq!(store.similar(id(0), 50).await.unwrap().len(), 9);
        assert_eq!(store.similar(id(0), 0).await.unwrap(), []);
        assert_eq!(store.similar(id(20), 3).await.unwrap(), []);
        assert_eq!(store.similar(Uuid::nil(), 3).await.unwrap(), []);
    }
}
