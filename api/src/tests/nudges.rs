//! Which advice a call gives its agent.

use super::*;
use crate::nudges::for_call;
use store::Call;

fn call(ratio: f64, sentiment: f64, customer: &str, agent: &str) -> Call {
    let NewCall {
        call_id,
        agent_id,
        customer_id,
        language,
        start_time,
        duration_seconds,
        ..
    } = new_call(1);
    Call {
        call_id,
        agent_id,
        customer_id,
        language,
        start_time,
        duration_seconds,
        transcript_customer: customer.to_owned(),
        transcript_agent: agent.to_owned(),
        agent_talk_ratio: ratio,
        customer_sentiment_score: sentiment,
        embedding: vec![1.0],
    }
}

#[test]
fn there_are_always_three_different_short_ones_with_a_figure() {
    let long = "Well, ".repeat(500);
    let texts = [
        "",
        "  ",
        "Hello there",
        "Sorry, what? Why? When?",
        "¿Qué? 何ですか？",
        &long,
    ];
    for ratio in [0.0, 0.25, 0.26, 0.4, 0.605, 0.65, 1.0, f64::NAN] {
        for sentiment in [-1.0, -0.5, -0.1, 0.0, 0.3, 1.0] {
            for (customer, agent) in texts.iter().flat_map(|a| texts.map(|b| (a, b))) {
                for language in ["en", "en-GB", "fr", ""] {
                    let mut call = call(ratio, sentiment, customer, agent);
                    call.language = language.to_owned();
                    check(&for_call(&call));
                }
            }
        }
    }
}

fn check(nudges: &[String]) {
    assert_eq!(nudges.len(), 3, "{nudges:?}");
    for nudge in nudges {
        assert!(nudge.split_whitespace().count() <= 40, "{nudge}");
        assert!(nudge.contains(|c: char| c.is_ascii_digit()), "{nudge}");
        assert_eq!(nudges.iter().filter(|other| *other == nudge).count(), 1);
    }
}

#[test]
fn an_unhappy_customer_who_was_talked_down_comes_first() {
    let agent = "This is our policy and it will not change. ".repeat(10);
    let nudges = for_call(&call(0.72, -0.81, "This is terrible", &agent));
    assert!(
        nudges[0].contains("-0.81") && nudges[0].contains("0 phrases"),
        "{nudges:?}"
    );
    assert!(nudges[1].contains("72%"), "{nudges:?}");
    assert!(nudges[2].contains("question"), "{nudges:?}");
}

#[test]
fn a_good_call_is_praised() {
    let agent = "I am sorry to hear that, thank you for telling me. May I have the number? \
                 There it is, all is well again now.";
    let nudges = for_call(&call(0.5, 0.8, "Thank you so much", agent));
    assert!(
        nudges[0].contains("Share") && nudges[0].contains("0.80"),
        "{nudges:?}"
    );
    assert!(nudges[1].contains("50%"), "{nudges:?}");
}

#[test]
fn other_languages_are_not_searched_for_english_words() {
    let mut call = call(
        0.5,
        -0.9,
        "C'est terrible",
        "Je suis désolé pour cela, vraiment",
    );
    call.language = "fr".to_owned();
    assert!(
        for_call(&call)
            .iter()
            .all(|nudge| !nudge.contains("empathy"))
    );
}

#[test]
fn an_empty_side_is_named_first() {
    let nudges = for_call(&call(0.0, 0.0, "Hello?", ""));
    assert!(nudges[0].contains("agent's side has 0 words"), "{nudges:?}");
    let nudges = for_call(&call(1.0, 0.0, "", "Hello, how may I help you?"));
    assert!(
        nudges[0].contains("customer's side has 0 words"),
        "{nudges:?}"
    );
}
