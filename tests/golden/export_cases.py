"""What the export scripts share that needs no framework."""


def attempt(case, export):
    """Whether `export()` succeeded; says so. One case that fails does not keep the others from being written."""
    try:
        export()
    except Exception as error:
        print("FAILED", case, type(error).__name__, str(error)[:500], flush=True)
        return False
    print(case, flush=True)
    return True
