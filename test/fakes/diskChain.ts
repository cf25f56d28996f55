/** A chain as a node has it, over a store in a folder of its own, for as long as a test runs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { MempoolLimits } from '../../execution/mempool.ts'
import type { RecoverAll } from '../../execution/recover.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import { type ChainState, openChainState } from '../../node/chainState.ts'
import { createLog } from '../../node/log.ts'
import { openStore } from '../../node/store.ts'

const LIMITS: MempoolLimits = { txsMax: 1_000, bytesMax: 1 << 24, txsPerSenderMax: 100, nonceGapMax: 100, replacementPercent: 10 }

/** A log of errors alone, which tests expect none of. */
export const quietLog = createLog({ level: 'error', json: false, write() {} })

/** A folder that goes when the test is done. */
export function testFolder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tributary-test-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Opens the chain; it is closed when the test is done. */
export async function openDiskChain(
  genesis: Genesis,
  options: { readonly recover?: RecoverAll } = {},
): Promise<{ readonly chain: ChainState; readonly directory: string }> {
  const directory = testFolder()
  const store = await openStore(directory, { durable: false })
  onTestFinished(() => store.close())
  return { chain: await openChainState({ store, genesis, mempool: LIMITS, log: quietLog, ...options }), directory }
}
