//! The application behind every door, and bodies that somebody fills.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

pub(crate) const GIGABYTE: usize = 1 << 30;
const CHUNK: usize = 64 << 10;

/// A body that somebody fills.
pub(crate) struct Filled(mpsc::Receiver<Bytes>);

impl Body for Filled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

pub(crate) fn filled<F: Future<Output = ()> + Send + 'static>(
    fill: impl FnOnce(mpsc::Sender<Bytes>) -> F,
) -> Filled {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(fill(sender));
    Filled(receiver)
}

/// Zeros until nobody takes them any more.
pub(crate) async fn zeros(to: mpsc::Sender<Bytes>, octets: usize) {
    let chunk = Bytes::from_static(&[0; CHUNK]);
    for _ in 0..octets / CHUNK {
        if to.send(chunk.clone()).await.is_err() {
            return;
        }
    }
}

/// The application.
pub(crate) async fn answer<B>(request: Request<B>) -> Response<Filled>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let path = request.uri().path().to_owned();
    let mut response = Response::new(match path.as_str() {
        "/admin/download" => filled(async |to| zeros(to, GIGABYTE).await),
        "/admin/upload" => {
            let mut body = std::pin::pin!(request.into_body());
            while let Some(Ok(_)) = body.frame().await {}
            filled(async |_| {})
        }
        "/admin/ws" => {
            tokio::spawn(async move {
                if let Ok(upgraded) = hyper::upgrade::on(request).await {
                    let mut upgraded = TokioIo::new(upgraded);
                    let mut buffer = [0; 64];
                    while let Ok(n @ 1..) = upgraded.read(&mut buffer).await {
                        if upgraded
                            .write_all(buffer.get(..n).unwrap_or_default())
                            .await
                            .is_err()
                        {
                            return;
                        }
                    }
                }
            });
            filled(async |_| {})
        }
        "/admin/quiet" => filled(async |to| {
            let _ = to.send(Bytes::from_static(b"one")).await;
            to.closed().await;
        }),
        _ => filled(async |to| {
            while to.send(Bytes::from_static(b"data: tick\n\n")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }),
    });
    let headers = response.headers_mut();
    if path == "/admin/events" {
        headers.insert(
            "content-type",
            http::HeaderValue::from_static("text/event-stream"),
        );
    } else if path == "/admin/ws" {
        headers.insert("connection", http::HeaderValue::from_static("upgrade"));
        headers.insert("upgrade", http::HeaderValue::from_static("websocket"));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    response
}
