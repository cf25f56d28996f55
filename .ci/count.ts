/**
 * The last line of a check: how many tests passed, failed and were skipped, from vitest's JSON report (its json reporter;
 * Jest's format). Exits with 0 only if something passed and nothing failed.
 * Cases of other people's vectors are counted with them (test/conformance/check.ts).
 * Called as: count.ts FAILED_STEPS CASES CASES_FAILED(0 or 1), and for each run of tests REPORT TESTS_FAILED(0 or 1)
 */
import { existsSync, readFileSync } from 'node:fs'

/** The parts of the report that are counted. */
export type Report = {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly { readonly status: string }[] }[]
}

/** A run of tests. */
export type TestRun = {
  /** undefined when the run ended before it wrote one. */
  readonly report: Report | undefined
  /** Whether the test command itself ended badly. */
  readonly failed: boolean
}

export type Run = {
  readonly tests: readonly TestRun[]
  /** Steps other than the tests that failed: lint, types. */
  readonly failedSteps: number
  /** Cases of vectors, undefined when their run ended before it wrote a sum; and whether their command ended badly. Without both: none were to be run. */
  readonly cases?: { readonly passed: number; readonly failed: number } | undefined
  readonly casesFailed?: boolean
}

/** The closing line and whether the run as a whole is good. */
export function closingLine({ tests, failedSteps, cases, casesFailed = false }: Run): { readonly line: string; readonly ok: boolean } {
  const counts = tests.map(countTests)
  const sum = (of: 'passed' | 'failed' | 'skipped') => counts.reduce((total, count) => total + count[of], 0)
  const failed = sum('failed') + failedSteps + Math.max(cases?.failed ?? 0, casesFailed ? 1 : 0)
  const line = `${sum('passed') + (cases?.passed ?? 0)} passed, ${failed} failed`
  return { line: sum('skipped') > 0 ? `${line}, ${sum('skipped')} skipped` : line, ok: failed === 0 }
}

/**
 * A file that could not be loaded, or whose hooks failed, is one failure; so is a bad end that no test accounts for (an error outside of any test,
 * a kill) and a run without a passing test.
 */
function countTests({ report, failed }: TestRun) {
  const passed = report?.numPassedTests ?? 0
  const skipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
  const brokenFiles = (report?.testResults ?? []).filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length
  const failedTests = (report?.numFailedTests ?? 0) + brokenFiles
  return { passed, skipped, failed: failedTests === 0 && (failed || passed === 0) ? 1 : failedTests }
}

if (import.meta.main) {
  const [failedSteps = '0', casesFile = '', casesFailed = '1', ...runs] = process.argv.slice(2)
  const read = (path: string) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined)
  const tests = runs.flatMap((file, i) => (i % 2 === 0 ? [{ report: read(file), failed: runs[i + 1] !== '0' }] : []))
  const run = { tests, failedSteps: Number(failedSteps), cases: read(casesFile), casesFailed: casesFailed !== '0' }
  const { line, ok } = closingLine(run)
  process.stdout.write(`${line}\n`)
  process.exitCode = ok ? 0 : 1
}
