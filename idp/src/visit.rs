//! A browser of a few lines: it follows redirects, keeps cookies, and fills in the one form that it meets.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{Method, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Goes to a provider, signs in as `name`, and answers the address at the client that it is sent back to.
pub async fn visit(url: &str, name: &str) -> String {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut cookies = BTreeMap::new();
    let mut at: Uri = url.parse().unwrap();
    let provider = at.authority().unwrap().clone();
    let mut form = None;
    for _ in 0..10 {
        if at.authority() != Some(&provider) {
            return at.to_string();
        }
        let jar = cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let jar: Vec<String> = jar.collect();
        let mut request = Request::builder().uri(at.clone()).header(COOKIE, jar.join("; "));
        let body: Option<String> = form.take();
        if body.is_some() {
            request = request
                .method(Method::POST)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(Full::from(body.unwrap_or_default())).unwrap();
        let answer = client.request(request).await.unwrap();
        for set in answer.headers().get_all(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        match answer.headers().get(LOCATION).map(|to| to.to_str().unwrap()) {
            Some(path) if path.starts_with('/') => at = format!("http://{provider}{path}").parse().unwrap(),
            Some(url) => at = url.parse().unwrap(),
            None => {
                assert_eq!(answer.status(), 200, "{at}");
                form = Some(format!("login={name}"));
            }
        }
    }
    panic!("it goes round in circles: {at}");
}
