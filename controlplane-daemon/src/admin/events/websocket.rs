//! The same stream as messages of a WebSocket (RFC 6455). What the listener sends is answered (pings) or ignored.

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{CloseCode, CloseReason, Message, MessageStream, Session};
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::Seat;
use super::frame::Frame;
use crate::admin::problem::Problem;

/// Nobody has anything to say that is longer.
const MOST_HEARD: usize = 4_096;

pub(super) fn answer(
    request: &HttpRequest,
    body: web::Payload,
    frames: mpsc::Receiver<Frame>,
    seat: Seat,
) -> Result<HttpResponse, Problem> {
    let upgraded = actix_ws::handle(request, body);
    let (answer, session, heard) =
        upgraded.map_err(|why| Problem::bad_request(format!("no WebSocket can be made of this request: {why}")))?;
    actix_web::rt::spawn(async move {
        pass_on(frames, session, heard.max_frame_size(MOST_HEARD)).await;
        drop(seat);
    });
    Ok(answer)
}

/// Ends when the listener goes or there is nothing more to say. While the listener takes nothing this waits, the frames
/// wait, and whoever makes them finds out.
async fn pass_on(mut frames: mpsc::Receiver<Frame>, mut session: Session, mut heard: MessageStream) {
    let reason = loop {
        tokio::select! {
            frame = frames.recv() => {
                let Some(frame) = frame else { break None };
                if session.text(frame.as_message()).await.is_err() {
                    return;
                }
                if let Frame::Closed(reason) = frame {
                    break Some(reason);
                }
            }
            message = heard.next() => match message {
                Some(Ok(Message::Ping(payload))) => if session.pong(&payload).await.is_err() { return },
                Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
                Some(Ok(_)) => {}
            },
        }
    };
    let close = reason.map(|reason| {
        // RFC 6455 §7.4.1: 1001, an endpoint is going away; 1008, a policy.
        let code = if reason == "stopping" { CloseCode::Away } else { CloseCode::Policy };
        CloseReason { code, description: Some(reason.to_owned()) }
    });
    let _ = session.close(close).await;
}
