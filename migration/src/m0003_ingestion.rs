//! How far each source has been read, and the rows that could not become calls.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[derive(DeriveIden)]
enum Cursor {
    Table,
    Source,
    NextOffset,
}

#[derive(DeriveIden)]
enum RejectedRow {
    Table,
    Source,
    RowOffset,
    Reason,
    Raw,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(cursor_table()).await?;
        manager.create_table(rejected_row_table()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(RejectedRow::Table).take())
            .await?;
        manager
            .drop_table(Table::drop().table(Cursor::Table).take())
            .await
    }
}

fn cursor_table() -> TableCreateStatement {
    Table::create()
        .table(Cursor::Table)
        .col(
            ColumnDef::new(Cursor::Source)
                .text()
                .not_null()
                .primary_key(),
        )
        .col(ColumnDef::new(Cursor::NextOffset).big_integer().not_null())
        .take()
}

fn rejected_row_table() -> TableCreateStatement {
    Table::create()
        .table(RejectedRow::Table)
        .col(ColumnDef::new(RejectedRow::Source).text().not_null())
        .col(
            ColumnDef::new(RejectedRow::RowOffset)
                .big_integer()
                .not_null(),
        )
        .col(ColumnDef::new(RejectedRow::Reason).text().not_null())
        .col(ColumnDef::new(RejectedRow::Raw).text().not_null())
        .primary_key(
            Index::create()
                .col(RejectedRow::Source)
                .col(RejectedRow::RowOffset),
        )
        .take()
}
