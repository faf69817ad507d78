//! Coaching nudges: advice for a call's agent, each with the figure that is its reason.

use store::Call;

use self::Mood::{Bad, Good, Neutral, Poor};

/// How many nudges a call gets.
const COUNT: usize = 3;

/// What English-speaking agents say when they feel with a customer, in lower case.
const EMPATHY: [&str; 12] = [
    "sorry",
    "apolog",
    "understand",
    "appreciate",
    "frustrat",
    "thank",
    "i hear you",
    "of course",
    "happy to help",
    "glad",
    "no worries",
    "i can imagine",
];

/// What is known of a call, as the rules need it.
struct Figures {
    /// Words the agent said.
    agent_words: usize,
    /// Words the customer said.
    customer_words: usize,
    /// Agent words over all words, in percent.
    talk: u32,
    /// The customer's mood, -1 to 1.
    sentiment: f64,
    /// Question marks, of any script, in what the agent said.
    questions: usize,
    /// Phrases of empathy in what the agent said; unknown in other languages than English.
    empathy: Option<usize>,
    /// How long the call lasted.
    seconds: i32,
}

/// The customer's mood, by its score.
#[derive(PartialEq)]
enum Mood {
    Bad,
    Poor,
    Neutral,
    Good,
}

/// A piece of advice and when it applies.
struct Rule {
    applies: fn(&Figures) -> bool,
    advice: fn(&Figures) -> String,
}

/// The rules, most urgent first. On every topic (mood, talk, questions) one always applies to a
/// call on which both spoke, so that there are always enough.
const RULES: [Rule; 21] = [
    Rule {
        applies: |f| f.agent_words == 0,
        advice: |_| "Check the recording: the agent's side has 0 words.".to_owned(),
    },
    Rule {
        applies: |f| f.customer_words == 0,
        advice: |_| "Check the recording: the customer's side has 0 words.".to_owned(),
    },
    Rule {
        applies: |f| f.mood(Bad) && f.empathy == Some(0),
        advice: |f| {
            let score = f.sentiment;
            format!(
                "Name the customer's feeling before you solve anything: their sentiment was {score:.2}, and you used 0 phrases of empathy."
            )
        },
    },
    Rule {
        applies: |f| f.mood(Bad) && f.empathy != Some(0),
        advice: |f| {
            let score = f.sentiment;
            format!(
                "Follow up with this customer in person: their sentiment was {score:.2}, among the lowest there are."
            )
        },
    },
    Rule {
        applies: |f| f.both_spoke() && f.talk >= 65,
        advice: |f| {
            let talk = f.talk;
            format!(
                "Leave the customer more room: you spoke {talk}% of the words. Pause after each answer; aim for 40 to 60%."
            )
        },
    },
    Rule {
        applies: |f| f.both_spoke() && f.talk <= 25,
        advice: |f| {
            let talk = f.talk;
            format!(
                "Take the lead more: you spoke only {talk}% of the words. Sum up what you heard and say what happens next."
            )
        },
    },
    Rule {
        applies: |f| f.agent_words > 0 && f.questions == 0,
        advice: |f| {
            let words = f.agent_words;
            format!("Ask at least one open question: there were 0 in your {words} words.")
        },
    },
    Rule {
        applies: |f| f.mood(Poor),
        advice: |f| {
            let score = f.sentiment;
            format!(
                "Check that the problem is really solved before you close: the customer's sentiment was {score:.2}."
            )
        },
    },
    Rule {
        applies: |f| f.agent_words > 0 && f.empathy == Some(0) && !f.mood(Bad),
        advice: |_| {
            "Show that you understand before you answer: you used 0 phrases of empathy.".to_owned()
        },
    },
    Rule {
        applies: |f| f.agent_words > 400,
        advice: |f| {
            let words = f.agent_words;
            format!(
                "Keep answers shorter: you used {words} words. Give one step at a time and ask whether it worked."
            )
        },
    },
    Rule {
        applies: |f| (1..15).contains(&f.agent_words),
        advice: |f| {
            let words = f.agent_words;
            format!(
                "Explain a little more: you used only {words} words. Say what you did, and what the customer can expect."
            )
        },
    },
    Rule {
        applies: |f| f.questions > 6,
        advice: |f| {
            let questions = f.questions;
            format!(
                "Gather what you need in fewer questions: you asked {questions}. Say first why you ask."
            )
        },
    },
    Rule {
        applies: |f| f.seconds > 15 * 60,
        advice: |f| {
            let minutes = f.seconds / 60;
            format!(
                "Agree on a goal at the start: this call lasted {minutes} minutes, long for one matter."
            )
        },
    },
    Rule {
        applies: |f| f.mood(Neutral),
        advice: |f| {
            let score = f.sentiment;
            format!(
                "End on something good, such as a next step with a date: the customer's sentiment stayed at {score:.2}."
            )
        },
    },
    Rule {
        applies: |f| f.mood(Good),
        advice: |f| {
            let score = f.sentiment;
            format!("Share this call with your team: the customer's sentiment was {score:.2}.")
        },
    },
    Rule {
        applies: |f| f.both_spoke() && (26..40).contains(&f.talk),
        advice: |f| {
            let talk = f.talk;
            format!(
                "Keep listening this well, and sum up at the end: you spoke {talk}% of the words."
            )
        },
    },
    Rule {
        applies: |f| f.both_spoke() && (40..=60).contains(&f.talk),
        advice: |f| {
            let talk = f.talk;
            format!(
                "Keep this balance: you spoke {talk}% of the words, within the 40 to 60% to aim for."
            )
        },
    },
    Rule {
        applies: |f| f.both_spoke() && (61..65).contains(&f.talk),
        advice: |f| {
            let talk = f.talk;
            format!(
                "Let the customer finish: you spoke {talk}% of the words, a little over the 60% to aim for."
            )
        },
    },
    Rule {
        applies: |f| (1..=6).contains(&f.questions),
        advice: |f| {
            let questions = f.questions;
            format!("Keep asking before you answer: question marks in your words: {questions}.")
        },
    },
    Rule {
        applies: |f| f.empathy.is_some_and(|phrases| phrases > 0),
        advice: |f| {
            let phrases = f.empathy.unwrap_or_default();
            format!("Keep your warm tone: phrases of empathy in your words: {phrases}.")
        },
    },
    Rule {
        applies: |_| true,
        advice: |f| {
            let seconds = f.seconds;
            format!(
                "Write down what was agreed while it is fresh: the call lasted {seconds} seconds."
            )
        },
    },
];

/// The three most urgent nudges for `call`, each of at most 40 words.
pub fn for_call(call: &Call) -> Vec<String> {
    let figures = Figures::of(call);
    let applying = RULES.iter().filter(|rule| (rule.applies)(&figures));
    applying
        .take(COUNT)
        .map(|rule| (rule.advice)(&figures))
        .collect()
}

impl Figures {
    fn of(call: &Call) -> Self {
        let agent = &call.transcript_agent;
        let english = call.language.to_lowercase().starts_with("en");
        Self {
            agent_words: agent.split_whitespace().count(),
            customer_words: call.transcript_customer.split_whitespace().count(),
            talk: (call.agent_talk_ratio * 100.0).round() as u32,
            sentiment: call.customer_sentiment_score,
            questions: agent.matches(['?', '？', '؟', '՞', '፧']).count(),
            empathy: english.then(|| empathy(agent)),
            seconds: call.duration_seconds,
        }
    }

    fn both_spoke(&self) -> bool {
        self.agent_words > 0 && self.customer_words > 0
    }

    /// Whether the customer said anything, and in this mood.
    fn mood(&self, mood: Mood) -> bool {
        let found = match self.sentiment {
            score if score <= -0.5 => Bad,
            score if score < -0.1 => Poor,
            score if score < 0.3 => Neutral,
            _ => Good,
        };
        self.customer_words > 0 && found == mood
    }
}

fn empathy(text: &str) -> usize {
    let text = text.to_lowercase();
    EMPATHY
        .iter()
        .map(|phrase| text.matches(phrase).count())
        .sum()
}
