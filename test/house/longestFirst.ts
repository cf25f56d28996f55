/**
 * The order of test files: the longest first, so that at the end no worker waits for one that began last. vitest goes by how long each took the time before
 * and, in a fresh clone, by the size of the file, which says nothing of one that starts processes.
 */
import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Seconds that a file takes on two cores beside another one, about; of those that are not named, less than ten. */
export const SECONDS_OF: Readonly<Record<string, number>> = {
  'test/contracts/invariants.test.ts': 80,
  'test/p2p/garbage.test.ts': 45,
  'test/contracts/fraudVerifier.test.ts': 18,
  'test/contracts/challenges/challenges.test.ts': 18,
  'test/node/validators.test.ts': 17,
  'test/sim/simulation.test.ts': 15,
  'test/settlement/l1.test.ts': 14,
  'test/node/p2pChild.test.ts': 13,
  'test/contracts/lint.test.ts': 11,
  'test/node/rpcThread.test.ts': 10,
  'test/e2e/crash.test.ts': 110,
  'test/e2e/validators.test.ts': 90,
  'test/e2e/blobLies.test.ts': 80,
  'test/e2e/challenge.test.ts': 70,
  'test/e2e/epochs.test.ts': 70,
  'test/e2e/demo.test.ts': 65,
  'test/e2e/l1Faults.test.ts': 60,
  'test/e2e/withdraw.test.ts': 60,
  'test/e2e/exit.test.ts': 60,
  'test/e2e/follower.test.ts': 50,
  'test/e2e/floods.test.ts': 45,
  'test/e2e/signerNode.test.ts': 45,
  'test/e2e/restart.test.ts': 45,
  'test/e2e/censoredByOne.test.ts': 45,
  'test/e2e/censored.test.ts': 40,
  'test/e2e/checkpoints.test.ts': 40,
  'test/e2e/deposits.test.ts': 38,
  'test/e2e/evidence.test.ts': 30,
  'test/e2e/signer.test.ts': 22,
  'test/e2e/verify.test.ts': 20,
  'test/e2e/wallets.test.ts': 15,
  'test/e2e/doors.test.ts': 14,
  'test/e2e/badInput.test.ts': 11,
}

/** vitest's own order with the long files before all others of their project. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    // Stable: projects stay in vitest's order, and so do files that are not named.
    return sorted
      .map((file, at) => ({ file, at, seconds: SECONDS_OF[relative(this.ctx.config.root, file.moduleId)] ?? 0 }))
      .toSorted((a, b) => (a.file.project === b.file.project ? b.seconds - a.seconds : a.at - b.at))
      .map(({ file }) => file)
  }
}
