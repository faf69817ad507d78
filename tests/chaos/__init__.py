"""What is lost, doubled or left hanging while everything goes wrong.

Each test loads a broker with work, disturbs the site for as long as
`CHAOS_SECONDS` says (6 unless set), lets it come to rest, and then compares
what should have run with what did. That is kept in another Redis, which
nobody disturbs. `CHAOS_SEED` makes the same choices again.
"""
