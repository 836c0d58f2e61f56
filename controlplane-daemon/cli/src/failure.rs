//! What can go wrong, as a script sees it: one exit code each, listed in `--help`.

use std::process::ExitCode;

use vocab::ErrorCode;

use crate::output::note;
use crate::problem::Problem;

/// Printed below `hellojohn --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; of `diff`: something differs
  2  the command line or a document given is wrong
  3  not found
  4  conflict, or a precondition failed
  5  refused: no valid credential, or not allowed
  6  unreachable, or the cluster has no leader: nothing was changed
  7  the outcome is unknown: the change may or may not have happened
  8  done, but not every pod had seen it in time (`--wait fleet`, `fleet wait`)
  9  `doctor` found something that is wrong";

/// Of [`EXIT_CODES`].
pub(crate) const OUTCOME_UNKNOWN: u8 = 7;

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    Usage(String),
    /// The server answered with a problem document (RFC 9457).
    Problem(Box<Problem>),
    /// No connection was made, so nothing was changed.
    Unreachable {
        server: String,
        reason: String,
    },
    /// The request went out and no answer came back.
    OutcomeUnknown {
        server: String,
        reason: String,
    },
    /// The change is made; these pods had not acknowledged it in time.
    Laggards(String),
    Other(anyhow::Error),
    /// `diff` found something; it is shown already.
    Different,
    /// What `doctor` found is shown already: so much of it is wrong.
    Unhealthy(usize),
    /// Said already; only the exit code is left to give.
    Reported(Box<Failure>),
}

impl Failure {
    /// Says what went wrong on stderr and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if !matches!(self, Self::Reported(_) | Self::Different) {
            note(format_args!("hellojohn: {self}"));
        }
        ExitCode::from(self.exit_code())
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Problem(problem) => exit_code_of(problem),
            Self::Unreachable { .. } => 6,
            Self::OutcomeUnknown { .. } => OUTCOME_UNKNOWN,
            Self::Laggards(_) => 8,
            Self::Unhealthy(_) => 9,
            Self::Other(_) | Self::Different => 1,
            Self::Reported(failure) => failure.exit_code(),
        }
    }

    /// What is known after the same change was sent again. That nobody could be asked then, or nobody answered for it,
    /// does not tell what became of the first.
    pub(crate) fn then(self, second: Self) -> Self {
        let is_judged = matches!(second.exit_code(), 2..=4);
        if self.exit_code() == OUTCOME_UNKNOWN && !is_judged { self } else { second }
    }

    /// Whether the server says that the thing asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.code == Some(ErrorCode::NotFound))
    }
}

fn exit_code_of(problem: &Problem) -> u8 {
    match problem.code {
        Some(ErrorCode::NoLeader) => 6,
        Some(ErrorCode::OutcomeUnknown) => OUTCOME_UNKNOWN,
        Some(ErrorCode::IdempotencyMismatch) => 4,
        _ => match problem.status {
            400 | 413 | 415 | 422 => 2,
            401 | 403 => 5,
            404 => 3,
            409 | 412 => 4,
            408 | 502 | 503 => 6,
            504 => 7,
            _ => 1,
        },
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Problem(problem) => problem.fmt(f),
            Self::Unreachable { server, reason } => write!(f, "cannot reach {server}: {reason}"),
            Self::OutcomeUnknown { server, reason } => {
                write!(f, "the outcome is unknown: {server} did not answer ({reason}); look before you try again")
            }
            Self::Laggards(pods) => {
                write!(f, "the change is made, but these had not seen it in time: {pods}")
            }
            Self::Other(error) => write!(f, "{error:#}"),
            Self::Different => f.write_str("there are differences"),
            Self::Unhealthy(failed) => write!(f, "{failed} of the checks failed"),
            Self::Reported(failure) => failure.fmt(f),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(status: u16, code: Option<ErrorCode>) -> u8 {
        let problem = Problem { status, code, ..Problem::default() };
        Failure::Problem(Box::new(problem)).exit_code()
    }

    #[test]
    fn an_unknown_outcome_stays_unknown_until_the_server_judges_the_same_change() {
        let lost = || Failure::OutcomeUnknown { server: "here".to_owned(), reason: "reset".to_owned() };
        let gone = || Failure::Unreachable { server: "here".to_owned(), reason: "refused".to_owned() };
        let said = |code: ErrorCode| {
            let problem = Problem { status: code.http_status(), code: Some(code), ..Problem::default() };
            Failure::Problem(Box::new(problem))
        };
        assert_eq!(lost().then(gone()).exit_code(), OUTCOME_UNKNOWN);
        assert_eq!(lost().then(said(ErrorCode::NoLeader)).exit_code(), OUTCOME_UNKNOWN);
        assert_eq!(lost().then(said(ErrorCode::Unauthenticated)).exit_code(), OUTCOME_UNKNOWN);
        assert_eq!(lost().then(said(ErrorCode::Conflict)).exit_code(), 4);
        assert_eq!(gone().then(lost()).exit_code(), OUTCOME_UNKNOWN);
        assert_eq!(said(ErrorCode::NoLeader).then(gone()).exit_code(), 6);
    }

    #[test]
    fn every_error_code_has_the_exit_code_that_the_help_promises() {
        for code in ErrorCode::ALL {
            let want = match code {
                ErrorCode::InvalidRequest
                | ErrorCode::ValidationFailed
                | ErrorCode::PayloadTooLarge
                | ErrorCode::UnsupportedMediaType => 2,
                ErrorCode::NotFound => 3,
                ErrorCode::AlreadyExists
                | ErrorCode::Conflict
                | ErrorCode::QuorumAtRisk
                | ErrorCode::PreconditionFailed
                | ErrorCode::IdempotencyMismatch
                | ErrorCode::LimitReached
                | ErrorCode::NoDatabase => 4,
                ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::TenantSuspended => 5,
                ErrorCode::NoLeader
                | ErrorCode::RequestTimeout
                | ErrorCode::DatabaseUnavailable
                | ErrorCode::RevisionNotReached
                | ErrorCode::UpgradeIncomplete
                | ErrorCode::Unavailable => 6,
                ErrorCode::OutcomeUnknown => 7,
                ErrorCode::MethodNotAllowed
                | ErrorCode::TooManyRequests
                | ErrorCode::NotConfigured
                | ErrorCode::Internal => 1,
            };
            assert_eq!(exit(code.http_status(), Some(code)), want, "{code}");
        }
        assert_eq!(exit(404, None), 3, "a proxy's own 404 is a 404 too");
    }
}
