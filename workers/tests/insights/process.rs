//! A call's insights are stored, and only once.

use super::engine;
use store::Store;
use workers::{
    call::{CallDefaults, CallInput},
    insights::{InsightsSettings, analyse_and_record},
};

#[tokio::test]
async fn a_second_delivery_changes_nothing() {
    let engine = engine(&InsightsSettings::default()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite://{}/test.db", directory.path().display());
    let store = Store::connect(&url).await.expect("a store");
    store.migrate().await.expect("tables");

    let input = CallInput {
        transcript_customer: Some("My phone broke again, I am furious.".to_owned()),
        transcript_agent: Some("So sorry! A new one is on its way.".to_owned()),
        agent_id: Some("Kirsty".to_owned()),
        ..Default::default()
    };
    let defaults = CallDefaults {
        agents: Vec::new(),
        latest_start: Default::default(),
        spread_days: 1,
    };
    let call = input.complete(&defaults).expect("a call");
    let first = analyse_and_record(&engine, &store, &call)
        .await
        .expect("insights");
    assert!(first.stored);
    assert_eq!(first.agent_talk_ratio, 0.56);
    assert!(first.customer_sentiment_score < -0.5);

    let second = analyse_and_record(&engine, &store, &call)
        .await
        .expect("insights");
    assert!(!second.stored);
    let agents = store.agents().await.expect("agents");
    assert_eq!(agents[0].total_calls, 1);
    let stored = store
        .call(call.call_id)
        .await
        .expect("a store")
        .expect("the call");
    assert_eq!(stored.embedding.len(), 384);
}
