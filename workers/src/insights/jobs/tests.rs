//! Batches of a model that is none.

use std::{cell::RefCell, sync::mpsc};

use super::*;

type Answer = oneshot::Receiver<Result<Vec<f32>, EngineError>>;

const LIMITS: Limits = Limits {
    texts: 3,
    wait: Duration::ZERO,
};

/// Sends one job a text of that many tokens, all of them `token`.
fn send(queue: &mpsc::Sender<Job>, lane: Lane, tokens: usize, token: i64) -> Answer {
    let (reply, answer) = oneshot::channel();
    let ids = vec![token; tokens];
    queue.send(Job { lane, ids, reply }).expect("a receiver");
    answer
}

/// Serves what was sent with a model that answers with the sum of each row and
/// panics, as libtorch does, at the token 13. Gives the shapes of its batches.
fn serve_all(send: impl FnOnce(&mpsc::Sender<Job>) -> Vec<Answer>) -> (Vec<Answer>, Vec<Vec<i64>>) {
    let (queue, jobs) = mpsc::channel();
    let answers = send(&queue);
    drop(queue);
    let shapes = RefCell::new(Vec::new());
    let model = |_, batch: &Batch| {
        shapes.borrow_mut().push(batch.ids.size());
        let sums = (&batch.ids * &batch.mask).sum_dim_intlist([1i64].as_slice(), true, None);
        assert!(batch.ids.eq(13).any().int64_value(&[]) == 0, "unlucky");
        Ok(sums.to_kind(tch::Kind::Float))
    };
    serve(model, &jobs, LIMITS);
    (answers, shapes.into_inner())
}

fn answer(receiver: &mut Answer) -> Result<f32, String> {
    match receiver.try_recv().expect("an answer") {
        Ok(row) => Ok(row[0]),
        Err(fault) => Err(fault.to_string()),
    }
}

#[test]
fn texts_of_like_length_share_a_batch_and_padding_does_not_count() {
    let (mut answers, shapes) = serve_all(|queue| {
        let lengths = [9, 1, 8, 2, 3];
        lengths
            .map(|tokens| send(queue, Lane::Embedding, tokens, 1))
            .into()
    });
    let sums: Vec<_> = answers.iter_mut().map(answer).collect();
    assert_eq!(sums, [9.0, 1.0, 8.0, 2.0, 3.0].map(Ok));
    assert_eq!(shapes, [vec![3, 3], vec![2, 9]]);
}

#[test]
fn models_do_not_share_a_batch() {
    let (_answers, shapes) = serve_all(|queue| {
        [Lane::Sentiment, Lane::Embedding]
            .map(|lane| send(queue, lane, 4, 1))
            .into()
    });
    assert_eq!(shapes, [vec![1, 4], vec![1, 4]]);
}

#[test]
fn a_bad_text_fails_alone() {
    let (mut answers, _) = serve_all(|queue| {
        [1, 13, 2]
            .map(|token| send(queue, Lane::Embedding, 5, token))
            .into()
    });
    assert_eq!(answer(&mut answers[0]), Ok(5.0));
    assert!(answer(&mut answers[1]).is_err_and(|fault| fault.contains("unlucky")));
    assert_eq!(answer(&mut answers[2]), Ok(10.0));
}

#[test]
fn nobody_computes_for_those_who_left() {
    let (_answers, shapes) = serve_all(|queue| {
        drop(send(queue, Lane::Embedding, 5, 1));
        vec![send(queue, Lane::Embedding, 2, 1)]
    });
    assert_eq!(shapes, [vec![1, 2]]);
}

#[test]
fn a_huge_batch_is_cut() {
    let (_answers, shapes) = serve_all(|queue| {
        [TOKENS / 2, TOKENS / 2, 1]
            .map(|tokens| send(queue, Lane::Embedding, tokens, 1))
            .into()
    });
    assert_eq!(shapes.len(), 2);
}
