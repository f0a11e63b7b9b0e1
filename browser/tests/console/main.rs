//! The console in a real Chromium, at a real `jit demo`.
//!
//! Nothing here waits for a length of time: a step waits until the page says what it must.

mod barriers;
mod hostile;
mod journey;
mod live;
mod second_factor;

use browser::{BoxError, Driver, Look, Running, Window};

/// One demo, one chromedriver.
struct World {
    demo: Running,
    driver: Driver,
}

impl World {
    async fn new() -> Result<Self, BoxError> {
        Ok(Self {
            demo: Running::start().await?,
            driver: Driver::start().await?,
        })
    }

    /// A browser in which this person has signed in at the console.
    async fn signed_in(&self, who: &str, look: Look) -> Result<Window, BoxError> {
        let window = self.driver.browser(look).await?;
        window.go(&self.demo.console("/")).await?;
        window.press_words(who).await?;
        window.says("Sign out").await?;
        Ok(window)
    }

    /// Alice asks for what wants a second factor of whoever approves; answers the request's page.
    async fn asks_for_payroll(&self) -> Result<String, BoxError> {
        let alice = self.signed_in("Alice", Look::default()).await?;
        alice.go(&self.demo.console("/ask?resource=payroll")).await?;
        alice.fill("reason", "somebody was not paid").await?;
        alice.fill("duration", "4m").await?;
        alice.press_words("Request access").await?;
        alice.says("What is asked for").await?;
        let request = alice.at().await?;
        alice.close().await?;
        Ok(request)
    }

    /// A browser that was refused at `path`, signed in as Alice on the way, and shows the page to ask on.
    async fn refused(&self, path: &str, look: Look) -> Result<Window, BoxError> {
        let window = self.driver.browser(look).await?;
        window.go(&self.demo.guarded(path)).await?;
        window
            .arrives(|at| at.starts_with(&self.demo.console("/login")))
            .await?;
        window.press_words("Alice").await?;
        window
            .arrives(|at| at.starts_with(&self.demo.console("/ask")))
            .await?;
        Ok(window)
    }
}
