/** The closing line of .ci/run counts every way in which a check can fail. */
import { expect, test } from 'vitest'
import { closingLine, type Report } from '../../.ci/count.ts'

const report = (counts: Partial<Report>): Report => ({
  ...{ numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] },
  ...counts,
})

test('all passed', () =>
  expect(closingLine({ tests: [{ report: report({ numPassedTests: 12 }), failed: false }], failedSteps: 0 })).toEqual({
    line: '12 passed, 0 failed',
    ok: true,
  }))

test('skipped and planned tests are shown', () =>
  expect(
    closingLine({ tests: [{ report: report({ numPassedTests: 2, numPendingTests: 3, numTodoTests: 1 }), failed: false }], failedSteps: 0 }),
  ).toEqual({
    line: '2 passed, 0 failed, 4 skipped',
    ok: true,
  }))

test('a failed test is counted once, though its file failed too', () => {
  const testResults = [{ status: 'failed', assertionResults: [{ status: 'failed' }, { status: 'passed' }] }]
  expect(
    closingLine({ tests: [{ report: report({ numPassedTests: 1, numFailedTests: 1, testResults }), failed: true }], failedSteps: 0 }),
  ).toEqual({
    line: '1 passed, 1 failed',
    ok: false,
  })
})

test('a file that does not load, or whose hook fails, is a failure', () => {
  const testResults = [
    { status: 'failed', assertionResults: [] },
    { status: 'failed', assertionResults: [{ status: 'skipped' }] },
    { status: 'passed', assertionResults: [{ status: 'passed' }] },
  ]
  expect(
    closingLine({ tests: [{ report: report({ numPassedTests: 1, numPendingTests: 1, testResults }), failed: true }], failedSteps: 0 }),
  ).toEqual({
    line: '1 passed, 2 failed, 1 skipped',
    ok: false,
  })
})

test('lint and types count one each', () =>
  expect(closingLine({ tests: [{ report: report({ numPassedTests: 5 }), failed: false }], failedSteps: 2 })).toEqual({
    line: '5 passed, 2 failed',
    ok: false,
  }))

test('an error outside of any test is a failure', () =>
  expect(closingLine({ tests: [{ report: report({ numPassedTests: 5 }), failed: true }], failedSteps: 0 })).toEqual({
    line: '5 passed, 1 failed',
    ok: false,
  }))

test('a run without a report or without a passing test is a failure', () => {
  expect(closingLine({ tests: [{ report: undefined, failed: true }], failedSteps: 0 })).toEqual({ line: '0 passed, 1 failed', ok: false })
  expect(closingLine({ tests: [{ report: report({}), failed: false }], failedSteps: 0 })).toEqual({ line: '0 passed, 1 failed', ok: false })
})

test('cases of vectors are counted with the tests; a run of them that broke off is one failure', () => {
  const run = { tests: [{ report: report({ numPassedTests: 2 }), failed: false }], failedSteps: 0 }
  expect(closingLine({ ...run, cases: { passed: 100, failed: 0 }, casesFailed: false })).toEqual({ line: '102 passed, 0 failed', ok: true })
  expect(closingLine({ ...run, cases: { passed: 98, failed: 2 }, casesFailed: true })).toEqual({ line: '100 passed, 2 failed', ok: false })
  expect(closingLine({ ...run, cases: undefined, casesFailed: true })).toEqual({ line: '2 passed, 1 failed', ok: false })
})

test('runs of tests are added up; one that broke off is a failure, however well the other went', () => {
  const good = { report: report({ numPassedTests: 5, numPendingTests: 1 }), failed: false }
  expect(closingLine({ tests: [good, good], failedSteps: 0 })).toEqual({ line: '10 passed, 0 failed, 2 skipped', ok: true })
  expect(closingLine({ tests: [good, { report: undefined, failed: true }], failedSteps: 0 })).toEqual({
    line: '5 passed, 1 failed, 1 skipped',
    ok: false,
  })
})
