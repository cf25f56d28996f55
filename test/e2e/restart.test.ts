/** A devnet that was stopped goes on in its folder: the same chain on the same L1, which anvil has kept in a file. */
import { createPublicClient, http } from 'viem'
import { expect, test } from 'vitest'
import { verifyFromL1 } from '../../node/verify.ts'
import { startDevnet } from './devnet.ts'
import { until } from './stage.ts'

/** Longest wait for a batch, on a machine that is busy: the L1 loads the trusted setup for it, and so does the node. */
const WAIT_MAX_MS = 120_000

test('stopped and started again, it posts what it had not posted, and L1 holds every block', async () => {
  const devnet = await startDevnet(['--batch-sec', '2'])
  try {
    const before = createPublicClient({ transport: http(devnet.ready().rpc) })
    const head = await before.getBlock()
    expect(await devnet.stop(), devnet.output().stderr).toBe(0)
    const { rpc, l1 } = await devnet.start()
    const client = createPublicClient({ transport: http(rpc) })
    expect((await client.getBlock({ blockNumber: head.number })).hash).toBe(head.hash)
    const safe = await until(
      'a batch with what was not posted',
      async () => {
        const { number } = await client.getBlock({ blockTag: 'safe' })
        return number > head.number ? number : undefined
      },
      WAIT_MAX_MS,
    )
    const rebuilt = await verifyFromL1({ l1Url: l1, beaconUrls: [l1], inbox: undefined, rpcUrl: rpc, onProgress: () => {} })
    expect(rebuilt).toMatchObject({ ok: true })
    expect(rebuilt.summary.blocks).toBeGreaterThanOrEqual(safe)
  } finally {
    await devnet.close()
  }
})
