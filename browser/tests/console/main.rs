//! The console in a real Chromium, at a real `jit demo`.
//!
//! Nothing here waits for a length of time: a step waits until the page says what it must.

mod barriers;
mod journey;

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
