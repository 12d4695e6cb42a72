"""Runs a script's unittest cases and prints them as TAP, so that each counts for itself."""
import sys
import unittest

import __main__


class Tap(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.result, self.lines = "ok", []

    def addSkip(self, test, reason):
        self.result = f"ok # SKIP {reason}"

    def addFailure(self, test, error):
        self.result = "not ok"
        self.lines += self._exc_info_to_string(error, test).splitlines()

    addError = addFailure

    def addSubTest(self, test, subtest, error):
        if error:
            self.addFailure(subtest, error)

    def stopTest(self, test):
        super().stopTest(test)
        result, _, skipped = self.result.partition(" #")
        name = test.id().removeprefix("__main__.")
        print(f"{result} - {name}" + (f" #{skipped}" if skipped else ""))
        print(*(f"# {line}" for line in self.lines), sep="\n", end="\n" if self.lines else "", flush=True)


def main(names):
    """The calling script's tests: those named, or all."""
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names, __main__) if names else loader.loadTestsFromModule(__main__)
    print(f"TAP version 13\n1..{suite.countTestCases()}", flush=True)
    suite.run(Tap())
