//! Reading processed calls, one or a filtered page.

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, DbBackend, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use crate::convert::{bounded, natural, storable};
use crate::entity::call::{self, Column, State};
use crate::{Call, CallFilter, CallPage, Store, StoreError};

impl Store {
    /// The processed calls that match `filter`, newest first, and how many there are in all.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn calls(&self, filter: &CallFilter) -> Result<CallPage, StoreError> {
        let matching = call::Entity::find().filter(self.condition(filter));
        let rows = matching
            .clone()
            .order_by_desc(Column::StartTime)
            .order_by_desc(Column::Id)
            .limit(natural(bounded(filter.limit)))
            .offset(natural(bounded(filter.offset)))
            .all(&self.db)
            .await?;
        // A page that is not full is the last, and tells the total without another search.
        let count = rows.len() as u64;
        let last = count < filter.limit && (count > 0 || filter.offset == 0);
        let total = match last {
            true => filter.offset.saturating_add(count),
            false => matching.count(&self.db).await?,
        };
        let calls = rows
            .into_iter()
            .map(Call::try_from)
            .collect::<Result<_, _>>()?;
        Ok(CallPage { total, calls })
    }

    /// The processed call with this id, if there is one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn call(&self, id: Uuid) -> Result<Option<Call>, StoreError> {
        call::Entity::find_by_id(id)
            .filter(Column::State.eq(State::Processed))
            .one(&self.db)
            .await?
            .map(Call::try_from)
            .transpose()
    }

    fn condition(&self, filter: &CallFilter) -> Condition {
        let words = filter.q.as_deref().filter(|q| !q.trim().is_empty());
        Condition::all()
            .add(Column::State.eq(State::Processed))
            .add_option(
                filter
                    .agent_id
                    .as_deref()
                    .map(|id| Column::AgentId.eq(storable(id))),
            )
            .add_option(filter.from.map(|from| Column::StartTime.gte(from)))
            .add_option(filter.to.map(|to| Column::StartTime.lte(to)))
            .add_option(
                filter
                    .min_sentiment
                    .map(|min| Column::CustomerSentimentScore.gte(min)),
            )
            .add_option(
                filter
                    .max_sentiment
                    .map(|max| Column::CustomerSentimentScore.lte(max)),
            )
            .add_option(words.map(|words| self.says(words)))
    }

    /// Whether the customer said all of `words`. The query languages of both full-text indexes
    /// have operators; `words` come from users and are always only words.
    fn says(&self, words: &str) -> SimpleExpr {
        let words = storable(words);
        match self.db.get_database_backend() {
            DbBackend::Sqlite => Expr::cust_with_values(
                "seq IN (SELECT rowid FROM call_text WHERE call_text MATCH ?)",
                [quoted(&words)],
            ),
            _ => Expr::cust_with_values(
                "to_tsvector('simple', transcript_customer) @@ plainto_tsquery('simple', $1)",
                [words],
            ),
        }
    }
}

/// Each word as an FTS5 string, in which nothing but the quotation mark is special.
fn quoted(words: &str) -> String {
    let words = words.split_whitespace();
    let quoted: Vec<String> = words
        .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
        .collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn operators_become_words() {
        assert_eq!(quoted("late OR NOT near("), r#""late" "OR" "NOT" "near(""#);
        assert_eq!(quoted(r#" say "hi*" "#), r#""say" """hi*""""#);
    }
}
