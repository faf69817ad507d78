//! What the models have found out of a call.

use super::*;

#[tokio::test]
async fn insights_are_recorded_once_for_a_known_or_an_unknown_call() {
    for Fresh { store, .. } in stores().await {
        let (known, unknown) = (new_call(1, "ann"), new_call(2, "bob"));
        store
            .insert_page(&page(vec![known.clone()], 1))
            .await
            .unwrap();
        for call in [&known, &unknown] {
            let first = store
                .record_insights(call, &insights(0.5, -0.25))
                .await
                .unwrap();
            assert_eq!(first, Recorded::Stored);
            let again = store
                .record_insights(call, &insights(0.9, 0.9))
                .await
                .unwrap();
            assert_eq!(again, Recorded::AlreadyProcessed);
            let stored = store.call(call.call_id).await.unwrap().unwrap();
            assert_eq!(stored.agent_talk_ratio, 0.5);
            assert_eq!(stored.customer_sentiment_score, -0.25);
            assert_eq!(stored.embedding, [1.0, 0.0]);
            assert_eq!(stored.start_time, call.start_time);
        }
        assert_eq!(store.counts().await.unwrap().processed, 2);
        assert!(
            store
                .agents()
                .await
                .unwrap()
                .iter()
                .all(|agent| agent.total_calls == 1)
        );
    }
}

#[tokio::test]
async fn figures_go_to_the_agent_the_call_was_stored_under() {
    for Fresh { store, .. } in stores().await {
        store
            .insert_page(&page(vec![new_call(1, "ann")], 1))
            .await
            .unwrap();
        let astray = new_call(1, "somebody else");
        store
            .record_insights(&astray, &insights(0.5, 0.5))
            .await
            .unwrap();
        let agents = store.agents().await.unwrap();
        assert_eq!(agents.len(), 1);
        assert_eq!(agents[0].agent_id, "ann");
    }
}

#[tokio::test]
async fn averages_do_not_drift() {
    let fresh = sqlite().await;
    let store = &fresh.store;
    for number in 0..300 {
        let found = insights(0.1, if number % 3 == 0 { -0.7 } else { 0.1 });
        store
            .record_insights(&new_call(number, "ann"), &found)
            .await
            .unwrap();
    }
    let agents = store.agents().await.unwrap();
    assert_eq!(agents[0].avg_talk_ratio, 0.1);
    assert_eq!(agents[0].avg_sentiment_score, -50.0 / 300.0);
}

#[tokio::test]
async fn what_is_not_a_number_is_refused() {
    let fresh = sqlite().await;
    let store = &fresh.store;
    let call = new_call(1, "ann");
    let mut odd = insights(0.5, 0.5);
    odd.embedding[1] = f32::INFINITY;
    for bad in [insights(f64::NAN, 0.0), insights(0.5, f64::INFINITY), odd] {
        let refused = store.record_insights(&call, &bad).await;
        assert!(
            matches!(refused, Err(StoreError::NotFinite(..))),
            "{refused:?}"
        );
    }
    assert_eq!(store.counts().await.unwrap(), Counts::default());
}

#[tokio::test]
async fn the_leaderboard_is_best_first() {
    for Fresh { store, .. } in stores().await {
        let scores = [
            ("cid", 0.4, 0.5),
            ("ann", 0.6, 0.1),
            ("bob", 0.6, 0.5),
            ("abe", 0.6, 0.5),
        ];
        for (number, (agent, ratio, sentiment)) in scores.into_iter().enumerate() {
            let call = new_call(number as u32, agent);
            store
                .record_insights(&call, &insights(ratio, sentiment))
                .await
                .unwrap();
        }
        // An agent none of whose calls is processed has no averages to rank.
        store
            .insert_page(&page(vec![new_call(9, "zoe")], 1))
            .await
            .unwrap();
        let agents = store.agents().await.unwrap();
        let names: Vec<&str> = agents.iter().map(|agent| agent.agent_id.as_str()).collect();
        assert_eq!(names, ["abe", "bob", "cid", "ann"]);
    }
}
