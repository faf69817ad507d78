//! Calls as people and sources write them.

#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

use serde_json::json;

use super::*;
use crate::ingest::IngestSettings;

fn defaults() -> CallDefaults {
    IngestSettings::default().call_defaults()
}

fn complete(call: serde_json::Value) -> Result<NewCall, InvalidCall> {
    serde_json::from_value::<CallInput>(call)
        .unwrap()
        .complete(&defaults())
}

fn signed(text: &str) -> Option<String> {
    signature::signed_by(text)
}

#[test]
fn two_transcripts_are_enough_and_always_give_the_same_call() {
    let call = json!({"input": "My line is down.", "output": "Sorry! Fixed.", "colour": "red"});
    let first = complete(call.clone()).unwrap();
    assert_eq!(first, complete(call).unwrap());
    assert!(defaults().agents.contains(&first.agent_id));
    assert!(first.customer_id.starts_with("customer-"));
    assert_eq!(first.language, "en");
    assert!(first.start_time <= defaults().latest_start);
    assert!((2..=4).contains(&first.duration_seconds), "{first:?}");
}

#[test]
fn what_is_given_is_kept() {
    let id = Uuid::new_v4();
    let call = complete(json!({
        "transcript_customer": " Hi\u{0}! ", "transcript_agent": null, "call_id": id,
        "agent_id": "zoe", "customer_id": "c-1", "language": "cy",
        "start_time": "2024-02-03T04:05:06+01:00", "duration_seconds": 61.6,
    }))
    .unwrap();
    assert_eq!(call.call_id, id);
    assert_eq!(
        (call.agent_id.as_str(), call.customer_id.as_str()),
        ("zoe", "c-1")
    );
    assert_eq!(call.language, "cy");
    assert_eq!(call.start_time.to_rfc3339(), "2024-02-03T03:05:06+00:00");
    assert_eq!(call.duration_seconds, 62);
    assert_eq!(call.transcript_customer, "Hi!");
}

#[test]
fn a_completed_call_completes_to_itself() {
    let call = complete(json!({"input": "Hello?", "output": "Hi. ^AB"})).unwrap();
    assert_eq!(call.agent_id, "ab");
    assert_eq!(
        complete(serde_json::to_value(&call).unwrap()).unwrap(),
        call
    );
}

#[test]
fn a_start_may_be_written_as_python_writes_it() {
    let start = |written: serde_json::Value| {
        complete(json!({"input": "Hi", "start_time": written}))
            .unwrap()
            .start_time
            .to_rfc3339()
    };
    let expected = "2024-02-03T04:05:06.500+00:00";
    assert_eq!(start(json!("2024-02-03T04:05:06.5")), expected);
    let typed = json!({"__type__": "datetime", "__value__": "2024-02-03T04:05:06.500000+00:00"});
    assert_eq!(start(typed), expected);
    let vague = serde_json::from_value::<CallInput>(json!({"start_time": "yesterday"}));
    assert!(vague.is_err());
}

#[test]
fn unusable_calls_say_why() {
    assert_eq!(
        complete(json!({"input": " \u{0}", "output": ""})),
        Err(InvalidCall::Empty)
    );
    assert_eq!(complete(json!({})), Err(InvalidCall::Empty));
    let negative = json!({"input": "Hi", "duration_seconds": -1});
    assert_eq!(complete(negative), Err(InvalidCall::Duration(-1.0)));
    let endless = json!({"output": "a".repeat(MAX_TRANSCRIPT_BYTES + 1)});
    assert!(matches!(
        complete(endless),
        Err(InvalidCall::TooLong { side: "agent", .. })
    ));
}

#[test]
fn the_agent_is_who_signed() {
    for (text, agent) in [
        ("We're on it. ^AB", "ab"),
        (
            "Please DM us your number ^KirstyM https://t.co/x1",
            "kirstym",
        ),
        ("Any time! - Marco", "marco"),
        ("Any time -Marco", "marco"),
        ("Done.\nHave a great day! Kirsty", "kirsty"),
        ("Have a great day\nKirsty", "kirsty"),
        ("祝您一路平安！Chen", "chen"),
        (
            "\u{200e}Ingrid\u{200e} leaves tonight. – Daniel\u{200b}",
            "daniel",
        ),
    ] {
        assert_eq!(signed(text).as_deref(), Some(agent), "{text}");
    }
    for text in [
        "",
        "Anything else? Thanks",
        "We are open Monday - Friday",
        "It leaves from Paris.",
        "Have a lovely time in Paris",
        "2 ^ 3",
    ] {
        assert_eq!(signed(text), None, "{text}");
    }
}

#[test]
fn other_scripts_and_clear_cases_name_their_language() {
    for (text, language) in [
        ("my parcel hasnt arrived ugh", "en"),
        ("@LarkwaveHelp wifi down AGAIN lol", "en"),
        ("", "en"),
        ("你好，我上周租的车，还车时油箱是满的", "zh"),
        ("すみません、全然動かなくなりました。", "ja"),
        ("السلام عليكم، طلبتُ طعام القطط قبل أسبوعين", "ar"),
        ("שלום, האוטובוס שוב לא הגיע הבוקר", "he"),
        (
            "Guten Tag, mein Internet ist seit gestern Abend ausgefallen und niemand hilft mir.",
            "de",
        ),
    ] {
        assert_eq!(language::guess(text, ""), language, "{text}");
    }
}
