//! A request that is refused before its body was read: the body is taken off the connection, so that the next request may
//! come on it.
//!
//! HTTP/1.1 has no other way but to close (RFC 9112 §9.3), and who is refused often, for coming too often, would pay a new
//! handshake each time, and so would the pod. Chunked bodies need nothing done here: actix reads what nobody wants of them.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use futures::StreamExt as _;
use futures::future::{Either, LocalBoxFuture};

use super::BODY_LIMIT;

/// Whoever takes longer to send a body that is not wanted loses the connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an extractor comes to; only a refusal may take time.
pub type Extracted<T, E> = Either<Ready<Result<T, E>>, LocalBoxFuture<'static, Result<T, E>>>;

/// As it is, once nothing of the request stands before the next one.
pub fn after<T: 'static, E: 'static>(
    outcome: Result<T, E>,
    request: &HttpRequest,
    payload: &mut Payload,
) -> Extracted<T, E> {
    match outcome {
        Err(refusal) if has_short_body(request) => {
            let body = payload.take();
            Either::Right(Box::pin(async move {
                drain(body).await;
                Err(refusal)
            }))
        }
        outcome => Either::Left(ready(outcome)),
    }
}

fn has_short_body(request: &HttpRequest) -> bool {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| (1..=BODY_LIMIT).contains(&length))
}

/// What comes is dropped, piece by piece.
async fn drain(mut body: Payload) {
    let whole = async { while let Some(Ok(_)) = body.next().await {} };
    // Too late: the connection is closed with the answer.
    let _ = tokio::time::timeout(PATIENCE, whole).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use rstest::rstest;

    #[rstest]
    #[case(&[("content-length", "1")], true)]
    #[case(&[("content-length", "131072")], true)]
    #[case(&[("content-length", "131073")], false)]
    #[case(&[("content-length", "0")], false)]
    #[case(&[("transfer-encoding", "chunked")], false)]
    #[case(&[], false)]
    fn short_bodies(#[case] headers: &[(&str, &str)], #[case] expected: bool) {
        let request = headers.iter().fold(TestRequest::post(), |request, header| request.insert_header(*header));
        assert_eq!(has_short_body(&request.to_http_request()), expected, "{headers:?}");
    }

    #[test]
    fn who_is_not_refused_waits_for_nothing() {
        let request = TestRequest::post().insert_header(("content-length", "5")).to_http_request();
        assert!(matches!(after(Ok::<_, ()>(1), &request, &mut Payload::None), Either::Left(_)));
        assert!(matches!(after(Err::<(), _>(1), &request, &mut Payload::None), Either::Right(_)));
    }
}
