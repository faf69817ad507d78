//! The schema on an empty database, on an old one, and back.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use super::*;

async fn temporary() -> (tempfile::TempDir, DatabaseConnection) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("not/yet/there/test.db");
    let db = connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    (directory, db)
}

async fn tables(db: &DatabaseConnection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'trigger') \
               AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'seaql_%' ORDER BY name";
    let statement = sea_orm_migration::sea_orm::Statement::from_string(DbBackend::Sqlite, sql);
    let rows = db.query_all_raw(statement).await.unwrap();
    rows.iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect()
}

#[tokio::test]
async fn up_and_down_again_leave_nothing() {
    let (_directory, db) = temporary().await;
    up(&db).await.unwrap();
    for table in ["agent", "call", "call_text", "cursor", "rejected_row"] {
        assert!(
            tables(&db).await.iter().any(|name| name == table),
            "{table}"
        );
    }
    down(&db, None).await.unwrap();
    assert_eq!(tables(&db).await, Vec::<String>::new());
}

#[tokio::test]
async fn status_tells_what_is_applied_and_changes_nothing() {
    let (_directory, db) = temporary().await;
    assert!(
        status(&db)
            .await
            .unwrap()
            .iter()
            .all(|(_, applied)| !applied)
    );
    assert_eq!(tables(&db).await, Vec::<String>::new());
    up(&db).await.unwrap();
    down(&db, Some(1)).await.unwrap();
    let applied: Vec<bool> = status(&db)
        .await
        .unwrap()
        .iter()
        .map(|(_, on)| *on)
        .collect();
    assert_eq!(applied, [true, true, false]);
}

#[tokio::test]
async fn two_processes_may_migrate_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("test.db").display());
    let (one, other) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
    let (first, second) = tokio::join!(up(&one), up(&other));
    first.unwrap();
    second.unwrap();
    assert!(
        status(&one)
            .await
            .unwrap()
            .iter()
            .all(|(_, applied)| *applied)
    );
}

#[tokio::test]
async fn a_bad_url_is_refused_without_being_repeated() {
    for url in ["mysql://me:hunter2@host/db", "hunter2", ""] {
        let error = connect(url).await.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
