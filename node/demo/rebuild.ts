/** The end of the loop: what happened is on L1, and whoever has L1 can rebuild it. */
import { type VerifyResult, verifyFromL1, verifyText } from '../verify.ts'
import type { Screen } from './screen.ts'
import { expectThat, type Stage, until } from './stage.ts'

/** Longest wait for the batch with a block to stand on L1. */
const SAFE_MAX_MS = 90_000

/** Waits until a block is safe, then rebuilds the chain from L1 alone and compares every block with the node's. */
export async function rebuild(
  { client }: Stage,
  screen: Screen,
  options: { readonly rpcUrl: string; readonly lastBlock: bigint },
): Promise<VerifyResult> {
  const { rpcUrl, lastBlock } = options
  const { heads, l1Url, batches } = await until(`block ${lastBlock} on L1`, SAFE_MAX_MS, async () => {
    const status = await client.getSyncStatus()
    return status.heads.safe >= lastBlock ? status : undefined
  })
  screen.step('safe', `block ${lastBlock} is on L1: the chain is safe up to block ${heads.safe}`, { lastBlock, safe: heads.safe, batches })
  expectThat(l1Url !== undefined, 'the node does not say where its L1 is')
  const result = await verifyFromL1({ l1Url, beaconUrls: [l1Url], inbox: undefined, rpcUrl, onProgress: () => {} })
  const { blocks, transactions, compared } = result.summary
  if (!result.ok) screen.show(`✗ rebuilt from L1, and it differs\n${verifyText(result)}`)
  else {
    expectThat(blocks >= lastBlock, `only ${blocks} blocks could be rebuilt from L1, not ${lastBlock}`)
    const sentence = `${blocks} blocks with ${transactions} transactions rebuilt from ${l1Url} alone; the node has the same`
    screen.step('rebuilt', sentence, { l1: l1Url, blocks, transactions, compared })
  }
  return result
}
