//! [`Fetch`] over HTTPS.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

use super::{BODY_MAX, Fetch, FetchError};

/// Longest that one document may take, connection included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Gets documents over HTTPS: 5 s at most, no redirects, certificates checked as the operating system does. Clones share their
/// connections.
#[derive(Debug, Clone)]
pub struct HttpsFetch {
    client: Client,
    http_on_loopback: bool,
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTPS client could not be made: {source}")]
pub struct BadClient {
    /// Why.
    #[from]
    pub source: reqwest::Error,
}

impl HttpsFetch {
    /// A client for `https` URLs. It goes through the proxy that the environment names.
    ///
    /// # Errors
    /// [`BadClient`] when the system's certificates can't be used.
    pub fn new() -> Result<Self, BadClient> {
        Self::make(false)
    }

    /// As [`HttpsFetch::new`], and takes `http` URLs of this very machine besides: for tests. Whoever may listen on a loopback port can
    /// publish keys there.
    ///
    /// # Errors
    /// [`BadClient`] when the system's certificates can't be used.
    pub fn dangerous_with_http_on_loopback() -> Result<Self, BadClient> {
        Self::make(true)
    }

    fn make(http_on_loopback: bool) -> Result<Self, BadClient> {
        let mut client = Client::builder()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .referer(false)
            .https_only(!http_on_loopback);
        if http_on_loopback {
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build()?,
            http_on_loopback,
        })
    }

    /// The URL, if it may be called.
    pub(crate) fn check(&self, url: &str) -> Result<Url, &'static str> {
        let url = Url::parse(url).map_err(|_| "it is not a URL")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or a password");
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.http_on_loopback && is_loopback(&url) => Ok(url),
            _ => Err("it is not an https URL"),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads what comes, unless it is too much.
async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err("the answer is larger than 1 MiB".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[async_trait]
impl Fetch for HttpsFetch {
    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let wrong = |source| FetchError {
            url: url.to_owned(),
            source,
        };
        let target = self.check(url).map_err(|why| wrong(why.into()))?;
        let failed = |error: reqwest::Error| wrong(error.without_url().into());
        let response = self.client.get(target).send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(wrong(
                format!("the answer is {}, not 200", response.status()).into(),
            ));
        }
        read(response).await.map_err(wrong)
    }
}

#[cfg(feature = "oidc")]
impl HttpsFetch {
    /// Sends a request, under the same rules as a document is got; whatever the status, it is an answer.
    pub(crate) async fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, FetchError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        let wrong = |source| FetchError {
            url: url.clone(),
            source,
        };
        let target = self.check(&url).map_err(|why| wrong(why.into()))?;
        let request = self.client.request(head.method, target);
        let response = request.headers(head.headers).body(body).send().await;
        let response = response.map_err(|error| wrong(error.without_url().into()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = http::Response::new(read(response).await.map_err(wrong)?);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_https_and_on_request_loopback() {
        let strict = HttpsFetch::new().unwrap();
        let loose = HttpsFetch::dangerous_with_http_on_loopback().unwrap();
        for (url, by_strict, by_loose) in [
            ("https://idp.example.com/keys", true, true),
            ("http://127.0.0.1:8080/keys", false, true),
            ("http://[::1]:8080/keys", false, true),
            ("http://localhost/keys", false, true),
            ("http://idp.example.com/keys", false, false),
            ("http://127.0.0.1.example.com/keys", false, false),
            ("http://localhost.example.com/", false, false),
            ("http://10.0.0.1/", false, false),
            ("https://user@idp.example.com/", false, false),
            ("https://user:password@idp.example.com/", false, false),
            ("file:///etc/passwd", false, false),
            ("data:,{}", false, false),
            ("keys", false, false),
            ("", false, false),
        ] {
            assert_eq!(strict.check(url).is_ok(), by_strict, "{url}");
            assert_eq!(loose.check(url).is_ok(), by_loose, "{url}");
        }
    }

    /// Answers one request with these bytes.
    async fn serve(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            // The client may hang up as soon as it has seen enough.
            let _ = stream.write_all(&answer).await;
        });
        url
    }

    #[tokio::test]
    async fn only_a_small_200_is_an_answer() {
        let fetch = HttpsFetch::dangerous_with_http_on_loopback().unwrap();
        let ok = |length: usize| {
            let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
            answer.resize(answer.len() + length, b'x');
            answer
        };
        let mut endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..17 {
            endless.extend_from_slice(b"10000\r\n");
            endless.resize(endless.len() + 0x10000, b'x');
            endless.extend_from_slice(b"\r\n");
        }
        for (answer, expected) in [
            (ok(3), Ok(3)),
            (ok(BODY_MAX), Ok(BODY_MAX)),
            (ok(BODY_MAX + 1), Err("1 MiB")),
            (endless, Err("1 MiB")),
            (
                b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(),
                Err("302"),
            ),
            (
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
                Err("404"),
            ),
            (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Err("204")),
            (b"nonsense".to_vec(), Err("")),
        ] {
            let url = serve(answer).await;
            match (fetch.get(&url).await, expected) {
                (Ok(body), Ok(length)) => assert_eq!(body.len(), length),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, expected) => panic!("{:?} {expected:?}", got.map(|body| body.len())),
            }
        }
        let refused = HttpsFetch::new()
            .unwrap()
            .get("http://127.0.0.1:1/")
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("not an https URL"), "{refused}");
    }
}
