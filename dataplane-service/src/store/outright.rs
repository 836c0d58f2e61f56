//! Using up a code or a refresh token in one round trip: one statement finds it, checks the terms under which it is sure to
//! be good, takes it and stores what follows. One commit, and of any number of requests at once one wins. Those that come
//! at the same time share a statement: see [`super::together`]. An answer of a user who was asked elsewhere is taken
//! outright as well, by the question whether it is there: see [`super::waiting`].
//!
//! What does not meet the terms stays as it is; the caller then finds it and decides in full ([`super::codes`],
//! [`super::refresh`]). The terms are `oauth_core`'s, and each statement says what their `are_met_by` says.
//!
//! When the connection breaks before the answer came, nobody knows whether the statement was carried out. It is then run
//! once more on another connection, alone, and what the first run took is known by what it left.

mod redemption;
mod rotation;

use std::time::SystemTime;

use oauth_core::confirmation::Confirmation;
use oauth_core::grant::outright::Terms;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::refresh::NewRefreshToken;
use super::together::Lanes;
use crate::store::{DbError, TenantDb};

pub use redemption::redeem;
pub use rotation::rotate;

/// Those of a tenant that go together.
#[derive(Default)]
pub(super) struct Together {
    rotations: Lanes<rotation::Rotation>,
    redemptions: Lanes<redemption::Redemption>,
}

/// `Terms::are_met_by`, as far as it is about the grant, for a statement about one: with `$2` the time, `$3` the client,
/// `$4` its resources.
macro_rules! grant_meets_the_terms {
    () => {
        "g.client_id = $3 and g.expires_at > $2 and g.revoked_at is null and u.status = 'active' \
         and g.requested_claims is null and g.authorization_details is null \
         and (g.audience = '{}' or g.audience && $4)"
    };
}
pub(super) use grant_meets_the_terms;

/// The same for many: grants of `t`, which meet the terms of `a`. A subquery with an offset stays one and is asked for each
/// row, by its key, however small tables were when the plan was made.
macro_rules! grants_that_meet_their_terms {
    () => {
        concat!(
            "cross join lateral ( \
                 select ",
            crate::store::grants::plain_grant_columns!(),
            ", g.client_id, g.revoked_at, g.requested_claims, g.authorization_details \
                 from grants g where g.id = t.grant_id offset 0 \
             ) g cross join lateral (select u.status from users u where u.id = g.user_id offset 0) u \
             where g.client_id = a.client_id and g.grant_expires_at > a.now and g.revoked_at is null \
               and u.status = 'active' and g.requested_claims is null and g.authorization_details is null \
               and (g.audience = '{}' or g.audience && string_to_array(a.resources, chr(31)))"
        )
    };
}
use grants_that_meet_their_terms;

/// What `grants::read_plain` wants of such a grant, each named with what is given.
macro_rules! columns_of_grant {
    ($of:literal) => {
        concat!(
            $of,
            "grant_id, ",
            $of,
            "user_id, ",
            $of,
            "sid, ",
            $of,
            "scopes, ",
            $of,
            "audience, ",
            $of,
            "nonce, ",
            $of,
            "auth_time, ",
            $of,
            "amr, ",
            $of,
            "grant_expires_at"
        )
    };
}
use columns_of_grant;

/// What a grant has to be, as parameters.
struct OfGrant {
    client_id: String,
    resources: Vec<String>,
    now: SystemTime,
}

impl OfGrant {
    fn of(terms: &Terms<'_>, now: SystemTime) -> Self {
        Self { client_id: terms.client_id.to_owned(), resources: terms.resources.clone(), now }
    }

    /// As one element of an array. U+001F is in no URI.
    fn resources(&self) -> String {
        self.resources.join("\u{1f}")
    }
}

/// A refresh token that will follow, as parameters.
pub(super) struct Next {
    pub(super) hash: Vec<u8>,
    pub(super) idle_until: SystemTime,
    pub(super) confirmation: Option<Json<Confirmation>>,
}

impl Next {
    pub(super) fn of(db: &TenantDb, new: &NewRefreshToken) -> Self {
        Self {
            hash: db.digest(new.value.expose()),
            idle_until: new.idle_until.system_time(),
            confirmation: new.confirmation(),
        }
    }
}

/// What was found for each of `questions`, by the column `n`, which counts from 1; none for the others.
fn by_number<'q, Q, T>(
    rows: &[Row],
    questions: &'q [Q],
    read: impl Fn(&Row, &'q Q) -> Result<T, DbError>,
) -> Result<Vec<Option<T>>, DbError> {
    let mut found: Vec<Option<T>> = questions.iter().map(|_| None).collect();
    for row in rows {
        let at = usize::try_from(row.try_get::<_, i64>("n")? - 1).unwrap_or(usize::MAX);
        if let (Some(place), Some(question)) = (found.get_mut(at), questions.get(at)) {
            *place = Some(read(row, question)?);
        }
    }
    Ok(found)
}
