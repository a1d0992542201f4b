"""What people do to a tab that a test cannot do with the mouse."""

from playwright.async_api import Page

# Playwright keeps every page visible and in focus, whatever is in front of it; so the page is told.
BECOME = """(state) => {
  Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
  Object.defineProperty(document, "hidden", {value: state === "hidden", configurable: true});
  document.dispatchEvent(new Event("visibilitychange", {bubbles: true}));
}"""


async def hide(page: Page) -> None:
    """Another tab comes to the front."""
    await page.evaluate(BECOME, "hidden")


async def show(page: Page) -> None:
    """The tab comes to the front again."""
    await page.evaluate(BECOME, "visible")


async def focus(page: Page, has: bool) -> None:
    """The window gets the keyboard, or loses it to another."""
    await page.evaluate(
        "(has) => { document.hasFocus = () => has; window.dispatchEvent(new Event(has ? 'focus' : 'blur')); }", has
    )


async def push(page: Page, path: str, how: str = "pushState") -> None:
    """A router goes to another path."""
    await page.evaluate("([how, path]) => history[how]({}, '', path)", [how, path])


async def stay(page: Page, seconds: int) -> None:
    """Time passes while the visitor reads; every now and then the mouse moves."""
    for _ in range(0, seconds, 10):
        await page.mouse.move(10, 10)
        await page.mouse.move(20, 20)
        await page.clock.run_for(min(10, seconds) * 1000)
