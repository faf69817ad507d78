//! Two processes on one database.

use futures::future::try_join_all;

use super::*;

/// Two stores on one database are what two processes have: they share no lock but the
/// database's own.
async fn two_on(fresh: &Fresh) -> [Store; 2] {
    [
        fresh.store.clone(),
        Store::connect(&fresh.url).await.unwrap(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_deliveries_of_one_call_count_once() {
    for fresh in stores().await {
        let stores = two_on(&fresh).await;
        let deliveries = (0..50).map(|number| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move {
                store
                    .record_insights(&new_call(1, "ann"), &insights(0.3, -0.2))
                    .await
            })
        });
        let outcomes = try_join_all(deliveries).await.unwrap();
        let stored = outcomes.into_iter().map(Result::unwrap);
        assert_eq!(stored.filter(|done| *done == Recorded::Stored).count(), 1);
        let agents = fresh.store.agents().await.unwrap();
        assert_eq!(agents[0].total_calls, 1);
        assert_eq!(agents[0].avg_sentiment_score, -0.2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_of_one_agent_add_up_exactly() {
    for fresh in stores().await {
        let stores = two_on(&fresh).await;
        let calls = (0..50).map(|number| {
            let store = stores[number as usize % 2].clone();
            tokio::spawn(async move {
                let found = insights(f64::from(number) / 100.0, -0.01 * f64::from(number));
                store
                    .record_insights(&new_call(number, "ann"), &found)
                    .await
            })
        });
        for outcome in try_join_all(calls).await.unwrap() {
            assert_eq!(outcome.unwrap(), Recorded::Stored);
        }
        let agents = fresh.store.agents().await.unwrap();
        assert_eq!(agents[0].total_calls, 50);
        assert_eq!(agents[0].avg_talk_ratio, 0.245);
        assert_eq!(agents[0].avg_sentiment_score, -0.245);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_pages_at_once_store_each_call_once() {
    for fresh in stores().await {
        let stores = two_on(&fresh).await;
        let pages = (0..20_u32).map(|number| {
            let store = stores[number as usize % 2].clone();
            let mut calls: Vec<NewCall> = (number * 5..number * 5 + 10)
                .map(|n| new_call(n, &format!("agent-{}", n % 7)))
                .collect();
            if number % 2 == 0 {
                calls.reverse();
            }
            let page = page(calls, u64::from(number) * 5 + 10);
            tokio::spawn(async move { store.insert_page(&page).await })
        });
        let mut stored = 0;
        for inserted in try_join_all(pages).await.unwrap() {
            stored += inserted.unwrap().stored;
        }
        assert_eq!(stored, 105);
        assert_eq!(fresh.store.counts().await.unwrap().pending, 105);
        assert_eq!(fresh.store.cursor("set/config/split").await.unwrap(), 105);
    }
}
