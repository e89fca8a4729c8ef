"""`python -m personalign`, as launchers such as accelerate start it."""

from personalign.cli import main

if __name__ == "__main__":
    main()
