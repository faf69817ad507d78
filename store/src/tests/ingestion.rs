//! What ingestion stores: pages, rows, rejected rows, the cursor.

use super::*;
use crate::entity::rejected_row;
use sea_orm::EntityTrait;

#[tokio::test]
async fn a_page_is_stored_once_and_the_cursor_never_goes_back() {
    for Fresh { store, .. } in stores().await {
        assert_eq!(store.cursor("set/config/split").await.unwrap(), 0);
        let calls: Vec<NewCall> = (0..3).map(|n| new_call(n, "ann")).collect();
        let inserted = store.insert_page(&page(calls.clone(), 3)).await.unwrap();
        assert_eq!((inserted.stored, inserted.duplicates), (3, 0));

        let more = vec![new_call(2, "ann"), new_call(3, "bob"), new_call(3, "bob")];
        let inserted = store.insert_page(&page(more, 2)).await.unwrap();
        assert_eq!((inserted.stored, inserted.duplicates), (1, 2));
        assert_eq!(store.cursor("set/config/split").await.unwrap(), 3);
        assert_eq!(store.cursor("another").await.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_empty_page_only_moves_the_cursor() {
    for Fresh { store, .. } in stores().await {
        let inserted = store.insert_page(&page(Vec::new(), 100)).await.unwrap();
        assert_eq!(inserted, Inserted::default());
        assert_eq!(store.cursor("set/config/split").await.unwrap(), 100);
    }
}

#[tokio::test]
async fn a_page_larger_than_a_batch_is_stored_whole() {
    for Fresh { store, .. } in stores().await {
        let calls: Vec<NewCall> = (0..1203).map(|n| new_call(n, &format!("a{n}"))).collect();
        let inserted = store.insert_page(&page(calls, 1203)).await.unwrap();
        assert_eq!(inserted.stored, 1203);
        assert_eq!(store.counts().await.unwrap().pending, 1203);
    }
}

#[tokio::test]
async fn rejected_rows_are_kept_once() {
    for Fresh { store, .. } in stores().await {
        let mut page = page(Vec::new(), 2);
        page.rejected = vec![RejectedRow {
            offset: 1,
            reason: "input is not text".to_owned(),
            raw: "{\"input\": 5}\0".to_owned(),
        }];
        store.insert_page(&page).await.unwrap();
        store.insert_page(&page).await.unwrap();
        let rows = rejected_row::Entity::find().all(&store.db).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].row_offset, 1);
        assert_eq!(rows[0].raw, "{\"input\": 5}\u{fffd}");
    }
}

#[tokio::test]
async fn pending_calls_come_back_as_they_went_in_and_are_queued_once() {
    for Fresh { store, .. } in stores().await {
        let mut calls: Vec<NewCall> = (0..3).map(|n| new_call(n, "ann")).collect();
        calls[1].transcript_customer = "  Привет 🦀 O'Brien \"quoted\" %_\n".to_owned();
        calls[2].transcript_agent = String::new();
        store.insert_page(&page(calls.clone(), 3)).await.unwrap();
        assert_eq!(store.pending(10).await.unwrap(), calls);
        assert_eq!(store.pending(2).await.unwrap(), calls[..2]);

        store.mark_queued(&[calls[0].call_id]).await.unwrap();
        store.mark_queued(&[]).await.unwrap();
        assert_eq!(store.pending(10).await.unwrap(), calls[1..]);
        let found = insights(0.5, 0.5);
        store.record_insights(&calls[1], &found).await.unwrap();
        store.mark_queued(&[calls[1].call_id]).await.unwrap();
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.pending, counts.queued, counts.processed), (1, 1, 1));
    }
}

#[tokio::test]
async fn a_nul_in_a_transcript_keeps_nothing_out() {
    for Fresh { store, .. } in stores().await {
        let mut call = new_call(1, "ann");
        call.transcript_customer = "so\0rry".to_owned();
        let inserted = store.insert_page(&page(vec![call], 1)).await.unwrap();
        assert_eq!(inserted.stored, 1);
        let pending = store.pending(1).await.unwrap();
        assert_eq!(pending[0].transcript_customer, "so\u{fffd}rry");
    }
}
