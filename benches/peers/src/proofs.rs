//! Middleware and libraries that prove who asks, or count them.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend};
use benches::house::BoxError;
use http::{Request, Response, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tower::{Layer as _, Service, ServiceExt as _};
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::SmartIpKeyExtractor;
use tower_sessions::{MemoryStore, SessionManagerLayer};

use crate::{CROWD, Timed};

pub(crate) fn all(runtime: &Runtime) -> Result<Vec<Timed<'_>>, BoxError> {
    let mut all = vec![
        token(
            "jwt-hs256",
            Algorithm::HS256,
            &EncodingKey::from_secret(SECRET),
            DecodingKey::from_secret(SECRET),
        )?,
        token(
            "jwt-eddsa",
            Algorithm::EdDSA,
            &EncodingKey::from_ed_pem(PRIVATE.as_bytes())?,
            DecodingKey::from_ed_pem(PUBLIC.as_bytes())?,
        )?,
    ];
    all.extend(login(runtime)?);
    all.extend(governor()?);
    Ok(all)
}

const SECRET: &[u8] = b"a secret of 32 bytes, or so it is";
/// The keys of RFC 8410 §10.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
}

/// A signed token, verified and read: signature, algorithm, end.
fn token(
    name: &'static str,
    algorithm: Algorithm,
    signing: &EncodingKey,
    verifying: DecodingKey,
) -> Result<Timed<'static>, BoxError> {
    let claims = Claims {
        iss: "bench".to_owned(),
        sub: "u0".to_owned(),
        exp: 4_000_000_000,
    };
    let token = encode(&Header::new(algorithm), &claims, signing)?;
    let validation = Validation::new(algorithm);
    Ok(Timed::each(name, move || {
        let read = decode::<Claims>(black_box(&token), &verifying, &validation);
        assert!(black_box(read).is_ok_and(|read| read.claims.sub == "u0"));
    }))
}

#[derive(Debug, Clone)]
struct User(u64);

impl AuthUser for User {
    type Id = u64;

    fn id(&self) -> u64 {
        self.0
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"hash"
    }
}

/// Finds everyone below [`CROWD`] without looking anywhere.
#[derive(Debug, Clone)]
struct Users;

impl AuthnBackend for Users {
    type User = User;
    type Credentials = u64;
    type Error = Infallible;

    async fn authenticate(&self, id: u64) -> Result<Option<User>, Infallible> {
        Ok(Some(User(id)))
    }

    async fn get_user(&self, id: &u64) -> Result<Option<User>, Infallible> {
        Ok((*id < CROWD as u64).then_some(User(*id)))
    }
}

async fn sign_in(mut session: axum_login::AuthSession<Users>) -> StatusCode {
    match session.login(&User(0)).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A route that needs a sign-in, with a session in memory; and the same route without.
fn login(runtime: &Runtime) -> Result<[Timed<'_>; 2], BoxError> {
    let routes = || Router::new().route("/admin", get(async || "hello\n"));
    let sessions = SessionManagerLayer::new(MemoryStore::default());
    let guarded = routes()
        .route_layer(axum_login::login_required!(Users))
        .route("/login", get(sign_in))
        .layer(AuthManagerLayerBuilder::new(Users, sessions).build());
    let signed_in = runtime.block_on(
        guarded
            .clone()
            .oneshot(Request::get("/login").body(Body::empty())?),
    )?;
    let cookie = signed_in
        .headers()
        .get(header::SET_COOKIE)
        .ok_or("no session")?
        .to_str()?;
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let run = move |name, router: Router, cookie: String| {
        let mut router = router.into_service::<Body>();
        Timed::each(name, move || {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = http::Uri::from_static("/admin");
            request
                .headers_mut()
                .insert(header::COOKIE, cookie.parse().expect("a good cookie"));
            let response = runtime.block_on(router.call(request));
            assert!(matches!(black_box(response), Ok(response) if response.status() == StatusCode::OK));
        })
    };
    Ok([
        run("axum", routes(), cookie.clone()),
        run("axum-login", guarded, cookie),
    ])
}

#[derive(Debug, Clone)]
struct Nothing;

impl Service<Request<()>> for Nothing {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        black_box(request);
        ready(Ok(Response::new(Body::empty())))
    }
}

/// A rate limit by address that nothing exceeds, over a service that does nothing; and that service.
fn governor() -> Result<[Timed<'static>; 2], BoxError> {
    let config = GovernorConfigBuilder::default()
        .per_nanosecond(1)
        .burst_size(u32::MAX)
        .key_extractor(SmartIpKeyExtractor)
        .finish()
        .ok_or("not a good limit")?;
    let mut limited = GovernorLayer::new(config).layer(Nothing);
    let mut bare = Nothing;
    let request = || {
        let mut request = Request::new(());
        request
            .headers_mut()
            .insert("x-forwarded-for", http::HeaderValue::from_static("192.0.2.1"));
        request
    };
    let status = |answer: &mut dyn FnMut(&mut Context<'_>) -> Poll<Result<Response<Body>, Infallible>>| {
        let poll = answer(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(black_box(poll), Poll::Ready(Ok(response)) if response.status() == StatusCode::OK));
    };
    Ok([
        Timed::each("no-op", move || {
            let mut answer = pin!(bare.call(request()));
            status(&mut |cx| answer.as_mut().poll(cx));
        }),
        Timed::each("tower-governor", move || {
            let mut answer = pin!(limited.call(request()));
            status(&mut |cx| answer.as_mut().poll(cx));
        }),
    ])
}
