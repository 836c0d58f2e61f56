//! Rows that are over go with the statements that bring new ones, a few at a time: no task sweeps, and a table is as large as
//! what is in use.

/// A part of a statement that adds a row to a table, and so begins a `with`: deletes some of its rows that ended. Twenty are
/// more than come, and no more than a person can wait for; rows that another statement holds are left to it, so that no two
/// wait for each other.
macro_rules! swept {
    (from: $table:literal, by: $key:literal, before: $before:literal) => {
        concat!(
            "swept as ( \
                 delete from ",
            $table,
            " where ",
            $key,
            " in (select ",
            $key,
            " from ",
            $table,
            " where expires_at < ",
            $before,
            " limit 20 for update skip locked) \
             )"
        )
    };
}
pub(super) use swept;
