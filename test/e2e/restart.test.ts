/** A devnet that was stopped goes on in its folder: the same chain on the same L1, which anvil has kept in a file. */
import { createPublicClient, http } from 'viem'
import { expect, test } from 'vitest'
import { verifyFromL1 } from '../../node/verify.ts'
import { startDevnet } from './devnet.ts'

/** Longest wait for a batch, in polls of 250 ms. */
const POLLS_MAX = 240

test('stopped and started again, it posts what it had not posted, and L1 holds every block', async () => {
  const devnet = await startDevnet(['--batch-sec', '2'])
  try {
    const before = createPublicClient({ transport: http(devnet.ready().rpc) })
    const head = await before.getBlock()
    expect(await devnet.stop()).toBe(0)
    const { rpc, l1 } = await devnet.start()
    const client = createPublicClient({ transport: http(rpc) })
    expect((await client.getBlock({ blockNumber: head.number })).hash).toBe(head.hash)
    let safe = 0n
    for (let poll = 0; poll < POLLS_MAX && safe <= head.number; poll++) {
      safe = (await client.getBlock({ blockTag: 'safe' })).number
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    expect(safe).toBeGreaterThan(head.number)
    const rebuilt = await verifyFromL1({ l1Url: l1, beaconUrls: [l1], inbox: undefined, rpcUrl: rpc, onProgress: () => {} })
    expect(rebuilt).toMatchObject({ ok: true })
    expect(rebuilt.summary.blocks).toBeGreaterThanOrEqual(safe)
  } finally {
    await devnet.close()
  }
})
