//! Full-text search over what customers said.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// FTS5 indexes the text where it is (an external-content table), and triggers keep it current.
/// `unicode61` splits words of any script and stems none, as PostgreSQL's `simple` does.
const SQLITE_UP: &str = "
CREATE VIRTUAL TABLE call_text USING fts5(
    transcript_customer, content='call', content_rowid='seq',
    tokenize='unicode61 remove_diacritics 2');
INSERT INTO call_text(call_text) VALUES ('rebuild');
CREATE TRIGGER call_text_insert AFTER INSERT ON call BEGIN
    INSERT INTO call_text(rowid, transcript_customer)
    VALUES (new.seq, new.transcript_customer);
END;
CREATE TRIGGER call_text_delete AFTER DELETE ON call BEGIN
    INSERT INTO call_text(call_text, rowid, transcript_customer)
    VALUES ('delete', old.seq, old.transcript_customer);
END;
CREATE TRIGGER call_text_update AFTER UPDATE OF transcript_customer ON call BEGIN
    INSERT INTO call_text(call_text, rowid, transcript_customer)
    VALUES ('delete', old.seq, old.transcript_customer);
    INSERT INTO call_text(rowid, transcript_customer)
    VALUES (new.seq, new.transcript_customer);
END;";

const SQLITE_DOWN: &str = "
DROP TRIGGER call_text_update;
DROP TRIGGER call_text_delete;
DROP TRIGGER call_text_insert;
DROP TABLE call_text;";

const POSTGRES_UP: &str = "
CREATE INDEX call_text ON call USING gin (to_tsvector('simple', transcript_customer));";

const POSTGRES_DOWN: &str = "DROP INDEX call_text;";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQLITE_UP, POSTGRES_UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQLITE_DOWN, POSTGRES_DOWN).await
    }
}

async fn run(manager: &SchemaManager<'_>, sqlite: &str, postgres: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Sqlite => sqlite,
        _ => postgres,
    };
    manager.get_connection().execute_unprepared(sql).await?;
    Ok(())
}
