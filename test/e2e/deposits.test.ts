/** What L1 says reaches L2, counted in L1 blocks: deposits and forced transactions, the safe and the finalized head, and the rebuild from L1 alone. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { encodeFunctionData, type Hex, parseEther } from 'viem'
import { getL2TransactionHashes } from 'viem/op-stack'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { callerBytecode } from '../../contracts/artifacts.ts'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { DOOR } from '../../genesis/params.ts'
import { verifyFromL1 } from '../../node/verify.ts'
import { batchInboxAbi, openTokenAbi, portalAbi } from '../../settlement/abi.ts'
import { callerAbi } from '../fakes/l1Stage.ts'
import { jsonLines } from './devnet.ts'
import { type L2Client, l2Client, lower, type Stage, startStage, until } from './stage.ts'

const MAIN = fileURLToPath(new URL('../../node/main.ts', import.meta.url))
const execute = promisify(execFile)
const CALL_GAS = 200_000n
/** People that L2 never heard of. */
const [LEDGER_HOLDER, PREPAYER, EVM_HOLDER, FORCED]: readonly [Hex, Hex, Hex, Hex] = [
  '0x00000000000000000000000000000000000d0001',
  '0x00000000000000000000000000000000000d0002',
  '0x00000000000000000000000000000000000d0003',
  '0x00000000000000000000000000000000000d0004',
]

let stage: Stage
let l2: L2Client

beforeAll(async () => {
  stage = await startStage(['--da', 'blob'])
  l2 = l2Client(stage.devnet.ready().rpc, 0)
})

afterAll(() => stage.close())

test('deposits of an L1 block are on L2 as soon as one more L1 block stands on it, in their order, and not before', async () => {
  const { l1 } = stage
  const { portal, openToken } = stage.devnet.ready().contracts
  const { contractAddress: caller } = await l2.waitForTransactionReceipt({ hash: await l2.sendTransaction({ data: callerBytecode }) })
  const before = await l2.getSupply()
  await l1.mineEvery(0)
  const gas = 500_000n
  await l1.client.writeContract({ address: openToken, abi: openTokenAbi, functionName: 'approve', args: [portal, parseEther('100')] })
  await l1.mine(1)

  const forward = encodeFunctionData({ abi: callerAbi, functionName: 'call', args: [EVM_HOLDER, '0x'] })
  const deposit = { address: portal, abi: portalAbi, gas } as const
  const sent = [
    await l1.client.writeContract({ ...deposit, functionName: 'depositToLedger', args: [LEDGER_HOLDER, parseEther('1'), false] }),
    await l1.client.writeContract({ ...deposit, functionName: 'depositToLedger', args: [PREPAYER, parseEther('2'), true] }),
    await l1.client.writeContract({ ...deposit, functionName: 'depositToEvm', args: [caller ?? '0x', parseEther('3'), CALL_GAS, forward] }),
    // No such function: the call fails, and what was minted stays with the sender.
    await l1.client.writeContract({
      ...deposit,
      functionName: 'depositToEvm',
      args: [caller ?? '0x', parseEther('4'), CALL_GAS, '0xdeadbeef'],
    }),
    await l1.client.writeContract({ ...deposit, functionName: 'forceTransaction', args: [FORCED, parseEther('5'), CALL_GAS, '0x'] }),
  ]
  await l1.mine(1)
  const receipts = await Promise.all(sent.map((hash) => l1.client.getTransactionReceipt({ hash })))
  const included = receipts[0]?.blockNumber ?? 0n
  expect(receipts.map(({ status, blockNumber }) => ({ status, blockNumber }))).toEqual(
    sent.map(() => ({ status: 'success', blockNumber: included })),
  )

  // The origin stays one block behind L1's head, so that the block may still be exchanged.
  await until('the origin before it', async () => (await l2.getL1Info()).number >= included - 1n || undefined)
  await until('two more L2 blocks', blocksAfter(await l2.getBlockNumber(), 2n))
  expect((await l2.getL1Info()).number).toBe(included - 1n)
  await l1.mine(1)
  const first = await until('the block with the deposits', async () => {
    const hashes = receipts.flatMap((receipt) => getL2TransactionHashes(receipt))
    return (await l2.getTransactionReceipt({ hash: hashes[0] ?? '0x' }).catch(() => undefined)) ? hashes : undefined
  })
  expect(await l1.client.getBlockNumber()).toBe(included + 1n)

  const onL2 = await Promise.all(first.map((hash) => l2.getTransactionReceipt({ hash })))
  const { blockNumber } = onL2[0] ?? { blockNumber: 0n }
  expect(onL2.map((one) => [one.blockNumber, one.transactionIndex, one.status])).toEqual([
    [blockNumber, 1, 'success'],
    [blockNumber, 2, 'success'],
    [blockNumber, 3, 'success'],
    [blockNumber, 4, 'reverted'],
    [blockNumber, 5, 'success'],
  ])
  expect(await l2.getL1Info({ blockNumber })).toMatchObject({ number: included, hash: receipts[0]?.blockHash, depositCursor: 5n })
  expect((await l2.getL1Info({ blockNumber: blockNumber - 1n })).number).toBe(included - 1n)
  expect(await l2.getTransaction({ hash: first[0] ?? '0x' })).toMatchObject({
    type: 'deposit',
    from: lower(l1.client.account.address),
    to: DOOR.ledger,
  })

  const at = { blockNumber }
  expect(await l2.getLedgerAccount({ account: LEDGER_HOLDER, ...at })).toMatchObject({ balance: parseEther('1'), prepaid: 0n })
  expect(await l2.getLedgerAccount({ account: PREPAYER, ...at })).toMatchObject({ balance: 0n, prepaid: parseEther('2') })
  expect(await l2.getBalance({ address: EVM_HOLDER, ...at })).toBe(parseEther('3'))
  expect(await l2.getBalance({ address: FORCED, ...at })).toBe(parseEther('5'))
  const supply = await l2.getSupply(at)
  expect(supply).toEqual({ ...before, deposited: before.deposited + parseEther('10'), evmSupply: before.evmSupply + parseEther('7') })
  const [own, ownBefore] = await Promise.all(
    [blockNumber, blockNumber - 1n].map((number) => l2.getBalance({ address: l1.client.account.address, blockNumber: number })),
  )
  expect((own ?? 0n) - (ownBefore ?? 0n), 'what the failed call did not take, less what was forced out').toBe(
    parseEther('4') - parseEther('5'),
  )
})

test('the deposit command brings what was asked for, as what was asked for, and says what is wrong with the rest', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const keyFile = join(folder, 'key')
  writeFileSync(keyFile, DEVNET_KEYS[0] ?? '')
  const { rpc } = stage.devnet.ready()
  await stage.l1.mineEvery(1)
  const to: Hex = '0x00000000000000000000000000000000000d0005'
  const deposit = async (...words: string[]) => {
    const all = [MAIN, 'deposit', '--rpc', rpc, '--l1', stage.l1.url, '--key-file', keyFile, '--json', ...words]
    return execute(process.execPath, all).catch((error: { stdout: string; stderr: string; code: number }) => error)
  }
  for (const as of ['ledger', 'prepaid', 'evm']) {
    const { stdout } = await deposit('--to', to, '--amount', '1.25', '--as', as)
    const [first, second] = jsonLines(stdout)
    expect(first).toMatchObject({ sent: { to, amountWei: parseEther('1.25').toString(), as } })
    expect(second).toMatchObject({ included: { ok: true } })
  }
  expect(await l2.getLedgerAccount({ account: to })).toMatchObject({ balance: parseEther('1.25'), prepaid: parseEther('1.25') })
  expect(await l2.getBalance({ address: to })).toBe(parseEther('1.25'))
  for (const [words, says] of [
    [['--amount', '0'], '--amount is a number of OPEN above zero'],
    [['--amount', '1', '--to', '0x12'], '--to is an address'],
    [['--amount', '1', '--as', 'gift'], '--as is ledger, prepaid or evm'],
  ] as const)
    expect(await deposit(...words)).toMatchObject({ code: 2, stderr: expect.stringContaining(says) })
  expect(await deposit('--amount', '1', '--to', DOOR.ledger, '--as', 'evm')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('ReservedRecipient'),
  })
})

test('safe is the last block of the last batch on L1, finalized that of the last batch in a final L1 block', async () => {
  const { l1 } = stage
  const heads: { readonly safe: bigint; readonly finalized: bigint }[] = []
  // Ends: L1 blocks become final eight blocks later, and a batch is posted every second; the pause leaves the poster time between two of them.
  for (let blocks = 0; blocks < 300; blocks++) {
    await l1.mine(1)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const [safe, finalized] = await Promise.all([postedUntil('latest'), postedUntil('finalized')])
    heads.push({ safe, finalized })
    await until(`heads ${safe}, ${finalized}`, async () => {
      const got = (await l2.getSyncStatus()).heads
      return (got.safe === safe && got.finalized === finalized) || undefined
    })
    const tagged = await Promise.all((['safe', 'finalized'] as const).map((blockTag) => l2.getBlock({ blockTag })))
    expect(tagged.map(({ number }) => number)).toEqual([safe, finalized])
    if (finalized > 0n && heads.some((one) => one.safe > (heads[0]?.safe ?? 0n))) break
  }
  expect(heads.at(-1)?.finalized).toBeGreaterThan(0n)
  expect(heads.at(-1)?.safe).toBeGreaterThan(heads[0]?.safe ?? 0n)
  expect(heads.map(({ safe }) => safe)).toEqual(heads.map(({ safe }) => safe).sort((a, b) => Number(a - b)))
})

test('everything is rebuilt from L1 alone, blobs and deposits, and no block of the live node differs', async () => {
  const { l1 } = stage
  await l1.mineEvery(1)
  const head = await l2.getBlockNumber()
  await until('everything so far on L1', async () => (await postedUntil('latest')) >= head || undefined)
  const result = await verifyFromL1({
    l1Url: l1.url,
    beaconUrls: [l1.url],
    inbox: undefined,
    rpcUrl: stage.devnet.ready().rpc,
    onProgress: () => {},
  })
  expect(result).toMatchObject({ ok: true })
  expect(result.summary.blocks).toBeGreaterThanOrEqual(head)
  expect(BigInt(result.summary.compared)).toBe(result.summary.blocks + 1n)
})

function blocksAfter(head: bigint, count: bigint) {
  return async () => (await l2.getBlockNumber()) >= head + count || undefined
}

/** Last block of the last batch that L1 has up to its block of this tag. */
async function postedUntil(tag: 'latest' | 'finalized'): Promise<bigint> {
  const { client } = stage.l1
  const { number } = await client.getBlock({ blockTag: tag })
  const { inbox } = stage.devnet.ready().contracts
  const events = await client.getContractEvents({
    address: inbox,
    abi: batchInboxAbi,
    eventName: 'BatchPosted',
    fromBlock: 0n,
    toBlock: number,
  })
  return events.at(-1)?.args.header?.lastBlock ?? 0n
}
