/**
 * The last line of a check: how many tests passed, failed and were skipped, from vitest's JSON report (its json reporter;
 * Jest's format). Exits with 0 only if something passed and nothing failed.
 * Cases of other people's vectors are counted with them (test/conformance/check.ts).
 * Called as: count.ts REPORT FAILED_STEPS_BEFORE TESTS_FAILED(0 or 1) CASES CASES_FAILED(0 or 1)
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

export type Run = {
  /** undefined when the run ended before it wrote one. */
  readonly report: Report | undefined
  /** Steps other than the tests that failed: lint, types. */
  readonly failedSteps: number
  /** Whether the test command itself ended badly. */
  readonly testsFailed: boolean
  /** Cases of vectors, undefined when their run ended before it wrote a sum; and whether their command ended badly. Without both: none were to be run. */
  readonly cases?: { readonly passed: number; readonly failed: number } | undefined
  readonly casesFailed?: boolean
}

/**
 * The closing line and whether the run as a whole is good. A file that could not be loaded, or whose hooks failed, is one
 * failure; so is a bad end that no test accounts for (an error outside of any test, a kill) and a run without a passing test.
 */
export function closingLine({ report, failedSteps, testsFailed, cases, casesFailed = false }: Run): {
  readonly line: string
  readonly ok: boolean
} {
  const passed = report?.numPassedTests ?? 0
  const skipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
  const brokenFiles = (report?.testResults ?? []).filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length
  let failedTests = (report?.numFailedTests ?? 0) + brokenFiles
  if (failedTests === 0 && (testsFailed || passed === 0)) failedTests = 1
  const failedCases = Math.max(cases?.failed ?? 0, casesFailed ? 1 : 0)
  const failed = failedTests + failedSteps + failedCases
  const line = `${passed + (cases?.passed ?? 0)} passed, ${failed} failed`
  return { line: skipped > 0 ? `${line}, ${skipped} skipped` : line, ok: failed === 0 }
}

if (import.meta.main) {
  const [file = '', failedSteps = '0', testsFailed = '1', casesFile = '', casesFailed = '1'] = process.argv.slice(2)
  const read = (path: string) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined)
  const { line, ok } = closingLine({
    report: read(file),
    failedSteps: Number(failedSteps),
    testsFailed: testsFailed !== '0',
    cases: read(casesFile),
    casesFailed: casesFailed !== '0',
  })
  process.stdout.write(`${line}\n`)
  process.exitCode = ok ? 0 : 1
}
