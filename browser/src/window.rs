//! One browser window, and what a person does in it.

use std::time::Duration;

use fantoccini::Client;
use fantoccini::Locator;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};

use crate::{BoxError, install};

/// How long a page may take to look as it should.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How a browser shows pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "a look is these")]
pub struct Look {
    /// As wide as a phone.
    pub phone: bool,
    /// In dark colours.
    pub dark: bool,
    /// Without any script.
    pub scriptless: bool,
}

impl Look {
    pub(crate) const fn size(self) -> (u32, u32) {
        if self.phone { (390, 844) } else { (1280, 860) }
    }
}

/// One browser with one window.
#[derive(Debug)]
pub struct Window {
    client: Client,
}

impl Window {
    pub(crate) async fn new(client: Client, look: Look) -> Result<Self, BoxError> {
        let window = Self { client };
        let (width, height) = look.size();
        window
            .tell(
                "Emulation.setDeviceMetricsOverride",
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": look.phone}),
            )
            .await?;
        let scheme = if look.dark { "dark" } else { "light" };
        window
            .tell(
                "Emulation.setEmulatedMedia",
                json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
            )
            .await?;
        if look.scriptless {
            window
                .tell("Emulation.setScriptExecutionDisabled", json!({"value": true}))
                .await?;
        }
        Ok(window)
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// The browser's.
    pub async fn go(&self, url: &str) -> Result<(), BoxError> {
        Ok(self.client.goto(url).await?)
    }

    /// The address that is shown.
    ///
    /// # Errors
    /// The browser's.
    pub async fn at(&self) -> Result<String, BoxError> {
        Ok(self.client.current_url().await?.into())
    }

    /// What a reader sees of the page.
    ///
    /// # Errors
    /// The browser's.
    pub async fn text(&self) -> Result<String, BoxError> {
        Ok(self.client.find(Locator::Css("body")).await?.text().await?)
    }

    /// The page as it stands.
    ///
    /// # Errors
    /// The browser's.
    pub async fn source(&self) -> Result<String, BoxError> {
        Ok(self.client.source().await?)
    }

    /// Waits until the address fits.
    ///
    /// # Errors
    /// What is shown instead after 20 seconds.
    pub async fn arrives(&self, fits: impl Fn(&str) -> bool) -> Result<String, BoxError> {
        self.until(async || {
            let at = self.at().await?;
            Ok(fits(&at).then_some(at))
        })
        .await
    }

    /// Waits until the page says `words`.
    ///
    /// # Errors
    /// What is shown instead after 20 seconds.
    pub async fn says(&self, words: &str) -> Result<String, BoxError> {
        self.until(async || {
            let text = self.text().await?;
            Ok(text.contains(words).then_some(text))
        })
        .await
        .map_err(|error| format!("waiting for {words:?}: {error}").into())
    }

    /// Waits until the page no longer says `words`.
    ///
    /// # Errors
    /// What is shown instead after 20 seconds.
    pub async fn lacks(&self, words: &str) -> Result<(), BoxError> {
        self.until(async || Ok((!self.text().await?.contains(words)).then_some(())))
            .await
            .map_err(|error| format!("waiting for {words:?} to go: {error}").into())
    }

    async fn until<T>(&self, look: impl AsyncFn() -> Result<Option<T>, BoxError>) -> Result<T, BoxError> {
        let looking = async {
            loop {
                // A page that goes on to the next one while it is looked at is no failure.
                if let Ok(Some(found)) = look().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        match tokio::time::timeout(WAIT_MAX, looking).await {
            Ok(found) => Ok(found),
            Err(_) => {
                let (at, text) = (self.at().await?, self.text().await.unwrap_or_default());
                Err(format!("{at} shows: {text}").into())
            }
        }
    }

    /// Presses what the CSS selector finds.
    ///
    /// # Errors
    /// The browser's: there is none, or it can't be pressed.
    pub async fn press(&self, css: &str) -> Result<(), BoxError> {
        let found = self.client.find(Locator::Css(css)).await;
        let found = found.map_err(|error| format!("{css}: {error}"))?;
        Ok(found.click().await?)
    }

    /// Presses the button or link with these words.
    ///
    /// # Errors
    /// What is shown instead if there is none, or it can't be pressed, for 20 seconds.
    pub async fn press_words(&self, words: &str) -> Result<(), BoxError> {
        let path = format!("//main//*[self::button or self::a][contains(normalize-space(.), '{words}')]");
        // A list that shows what has changed puts other elements in the place of those that were found.
        self.until(async || {
            Ok(Some(
                self.client.find(Locator::XPath(&path)).await?.click().await?,
            ))
        })
        .await
        .map_err(|error| format!("pressing {words:?}: {error}").into())
    }

    /// Types into the field of this name, in place of what is in it.
    ///
    /// # Errors
    /// The browser's: there is none.
    pub async fn fill(&self, name: &str, text: &str) -> Result<(), BoxError> {
        let css = format!("[name=\"{name}\"]");
        let field = self.client.find(Locator::Css(&css)).await;
        let field = field.map_err(|error| format!("{css}: {error}"))?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Every address that the page links to.
    ///
    /// # Errors
    /// The browser's.
    pub async fn links(&self) -> Result<Vec<String>, BoxError> {
        let mut links = Vec::new();
        for link in self.client.find_all(Locator::Css("a[href]")).await? {
            links.extend(link.prop("href").await?);
        }
        Ok(links)
    }

    /// What axe-core finds wrong with the page: the rule, its weight and where.
    ///
    /// # Errors
    /// The browser's, or npm's.
    pub async fn barriers(&self) -> Result<Vec<String>, BoxError> {
        let axe = tokio::task::spawn_blocking(install::axe).await??;
        self.client.execute(&axe, Vec::new()).await?;
        let found = self
            .client
            .execute_async(
                "const done = arguments[arguments.length - 1];
                 axe.run().then(found => done(found.violations.map(v =>
                    `${v.id} (${v.impact}): ${v.nodes.map(n => n.target.join(' ') + ' ' + n.failureSummary).join(' | ')}`
                 )), error => done([String(error)]));",
                Vec::new(),
            )
            .await?;
        let found = found.as_array().cloned().unwrap_or_default();
        Ok(found
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect())
    }

    /// Whether the page is wider than its window.
    ///
    /// # Errors
    /// The browser's.
    pub async fn overflows(&self) -> Result<bool, BoxError> {
        let wider = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        Ok(self.client.execute(wider, Vec::new()).await? == Value::Bool(true))
    }

    /// A picture of the whole page, as PNG.
    ///
    /// # Errors
    /// The browser's.
    pub async fn picture(&self) -> Result<Vec<u8>, BoxError> {
        use base64::Engine as _;
        let taken = self
            .tell("Page.captureScreenshot", json!({"captureBeyondViewport": true}))
            .await?;
        let data = taken
            .get("data")
            .and_then(Value::as_str)
            .ok_or("there is no picture")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(data)?)
    }

    /// Gives the browser an authenticator (WebDriver, W3C Web Authentication §11) with somebody at it whom it knows, or, unless `verified`, does
    /// not.
    ///
    /// # Errors
    /// The browser's.
    pub async fn authenticator(&self, verified: bool) -> Result<(), BoxError> {
        self.client
            .issue_cmd(Command {
                path: "webauthn/authenticator",
                body: json!({
                    "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
                    "hasUserVerification": true, "isUserVerified": verified, "isUserConsenting": true,
                }),
            })
            .await?;
        Ok(())
    }

    /// Lets the clock of every page from here on be ahead of this machine's by so many seconds.
    ///
    /// # Errors
    /// The browser's.
    pub async fn clock_ahead(&self, seconds: u32) -> Result<(), BoxError> {
        let source = format!("const now = Date.now.bind(Date); Date.now = () => now() + {seconds} * 1000;");
        self.tell("Page.addScriptToEvaluateOnNewDocument", json!({"source": source}))
            .await?;
        Ok(())
    }

    /// What a script in the page answers.
    ///
    /// # Errors
    /// The browser's.
    pub async fn script(&self, script: &str) -> Result<Value, BoxError> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// What a script in the page hands to its last argument, sooner or later. The ones before are `arguments`.
    ///
    /// # Errors
    /// The browser's.
    pub async fn awaited(&self, script: &str, arguments: &[&str]) -> Result<Value, BoxError> {
        let arguments = arguments.iter().map(|&argument| argument.into());
        Ok(self.client.execute_async(script, arguments.collect()).await?)
    }

    /// What the page's own origin answers a program with this token at `path`.
    ///
    /// # Errors
    /// The browser's.
    pub async fn fetched(&self, path: &str, token: &str) -> Result<String, BoxError> {
        let script = "const [path, token, done] = arguments;
             fetch(path, { headers: { authorization: `Bearer ${token}` } })
                .then(answer => answer.text()).then(done, error => done(String(error)));";
        let said = self.awaited(script, &[path, token]).await?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    /// Ends the browser.
    ///
    /// # Errors
    /// The browser's.
    pub async fn close(self) -> Result<(), BoxError> {
        Ok(self.client.close().await?)
    }

    /// One command of the DevTools protocol.
    async fn tell(&self, command: &str, params: Value) -> Result<Value, CmdError> {
        self.client
            .issue_cmd(Command {
                path: "goog/cdp/execute",
                body: json!({"cmd": command, "params": params}),
            })
            .await
    }
}

/// A command of WebDriver that fantoccini has no words for.
#[derive(Debug)]
struct Command {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        let session = session_id.unwrap_or_default();
        base_url.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
