"""`python -m analytics_app` is `analytics`."""

from analytics_app.cli import main

if __name__ == "__main__":
    main()
