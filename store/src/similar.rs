//! Finding the calls most like another.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};

use futures::TryStreamExt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::embedding;
use crate::entity::call::{self, Column, State};
use crate::{Call, Store, StoreError};

impl Store {
    /// Up to `limit` processed calls most like the call `id`, most alike first, by the cosine of
    /// their embeddings; none when the call is unknown or not processed. Reads every embedding,
    /// but holds only the best few.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn similar(&self, id: Uuid, limit: usize) -> Result<Vec<Call>, StoreError> {
        let Some(call) = self.call(id).await? else {
            return Ok(Vec::new());
        };
        let mut best = Best::new(limit);
        let mut embeddings = call::Entity::find()
            .select_only()
            .columns([Column::Id, Column::Embedding])
            .filter(Column::State.eq(State::Processed))
            .filter(Column::Id.ne(id))
            .into_tuple::<(Uuid, Vec<u8>)>()
            .stream(&self.db)
            .await?;
        while let Some((other, packed)) = embeddings.try_next().await? {
            if let Some(cosine) = embedding::cosine(&call.embedding, &packed) {
                best.offer(cosine, other);
            }
        }
        drop(embeddings);
        self.calls_in_order(&best.into_ids()).await
    }

    async fn calls_in_order(&self, ids: &[Uuid]) -> Result<Vec<Call>, StoreError> {
        let rows = call::Entity::find()
            .filter(Column::Id.is_in(ids.iter().copied()))
            .all(&self.db)
            .await?;
        let mut rows: HashMap<Uuid, call::Model> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        let ordered = ids.iter().filter_map(|id| rows.remove(id));
        ordered.map(Call::try_from).collect()
    }
}

/// A call and how alike it is; ordered by likeness, and by id where that is equal, so that the
/// same question always has the same answer.
#[derive(PartialEq)]
struct Candidate {
    cosine: f32,
    id: Uuid,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_cosine = self.cosine.total_cmp(&other.cosine);
        by_cosine.then_with(|| other.id.cmp(&self.id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best candidates so far; the worst of them is at hand, to be outdone.
struct Best {
    limit: usize,
    heap: BinaryHeap<Reverse<Candidate>>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            heap: BinaryHeap::new(),
        }
    }

    fn offer(&mut self, cosine: f32, id: Uuid) {
        self.heap.push(Reverse(Candidate { cosine, id }));
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }

    /// Best first.
    fn into_ids(self) -> Vec<Uuid> {
        let ordered = self.heap.into_sorted_vec();
        ordered
            .into_iter()
            .map(|Reverse(candidate)| candidate.id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_ties_by_id() {
        let id = Uuid::from_u128;
        let mut best = Best::new(3);
        for (cosine, number) in [(0.1, 1), (0.9, 2), (0.5, 9), (0.5, 3), (-1.0, 4)] {
            best.offer(cosine, id(number));
        }
        assert_eq!(best.into_ids(), [id(2), id(3), id(9)]);
    }

    #[test]
    fn of_none_wanted_none_are_kept() {
        let mut best = Best::new(0);
        best.offer(1.0, Uuid::nil());
        assert!(best.into_ids().is_empty());
    }
}
