/**
 * The challenger finds what is wrong with a checkpoint and makes it fall by the cheapest proof, for every kind of wrong batch, on the contracts as they are
 * deployed; it leaves right ones alone, goes on after failures of L1, and says what it cannot prove. Spec: docs/spec/fraud.md#the-challenger
 */
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ChallengeOutcome, type Challenger, createChallenger } from '../../node/challenger.ts'
import { signerOf } from '../../node/keys.ts'
import { createLog } from '../../node/log.ts'
import { checkpointManagerAbi } from '../../settlement/abi.ts'
import { createKzg } from '../../settlement/kzg.ts'
import { createTxManager } from '../../settlement/txManager.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { type Colluders, createColluders } from '../fakes/colluders.ts'
import { FRAUDS, type Fraud, makeBlocks, THIEF } from '../fakes/frauds.ts'
import { createMemoryPendingTx } from '../fakes/pendingTx.ts'

const GAS_CAP = 16_777_216
const key = generatePrivateKey()

let anvil: Anvil
let rollup: Colluders
let challenger: Challenger
const outcomes: ChallengeOutcome[] = []
/** The challenger's clock, which stands still. */
let nowMs = 0

beforeAll(async () => {
  anvil = await startAnvil()
  rollup = await createColluders(anvil)
  await makeBlocks(rollup)
  await rollup.client.setBalance({ address: privateKeyToAccount(key).address, value: parseEther('10') })
  challenger = openChallenger(rollup)
}, 60_000)
afterAll(() => anvil?.stop())

/** What somebody else does on L1 when a proof is on its way. */
let meanwhile = async () => {}

/** One that knows nothing yet of what L1 holds: nothing but the genesis block is derived. */
function openChallenger({ l1, genesis, accumulator, chain }: Colluders): Challenger {
  const signer = signerOf(key)
  const clock = { nowMs: Date.now, sleep: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)) }
  const sender = createTxManager(
    { l1: l1.transactions, store: createMemoryPendingTx(), clock },
    {
      kind: 'ordinary',
      chainId: genesis.l1.chainId,
      signer,
      maxFeeLimitWei: 10n ** 12n,
      maxBlobFeeLimitWei: 0n,
      confirmations: 1n,
      pollMs: 20,
      resubmitMs: 10_000,
      waitMs: 20_000,
    },
  )
  const ledgerRoot = rollup.genesisLedgerRoot
  return createChallenger({
    l1,
    genesis,
    accumulator,
    derived: () => ({
      head: () => ({ accumulator, nextIndex: 0n, lastBlock: 0n }),
      ledgerRoot: () => ledgerRoot,
      source: chain.store.reader,
      parent: () => ({ timestampMs: genesis.timestampMs, originNumber: genesis.l1.origin.number }),
    }),
    kzg: createKzg(),
    account: signer.address,
    sender: {
      ...sender,
      async send(request) {
        await meanwhile()
        return sender.send(request)
      },
    },
    log: createLog({ level: 'error', json: false, write: (line) => process.stderr.write(line) }),
    report: (outcome) => outcomes.push(outcome),
    nowMs: () => nowMs,
  })
}

async function look(): Promise<void> {
  await challenger.read(await rollup.l1.blockByTag('latest'))
  await challenger.challenge()
}

const gasOf: Record<string, number> = {}

for (const [name, { proof, make, isOfBlobs }] of Object.entries<Fraud>(FRAUDS)) {
  test(`${name}: the checkpoint falls by one transaction below the cap`, { timeout: 60_000 }, async () => {
    await rollup.bond()
    const { id } = await rollup.submit(await make(rollup, isOfBlobs ? 'blob' : 'calldata'))
    const told = outcomes.length
    await look()
    expect(outcomes.slice(told)).toEqual([
      { kind: 'fell', id, lastBlock: expect.any(BigInt), proof: expect.stringMatching(proof), tx: expect.stringMatching(/^0x/) },
    ])
    const { checkpointManager } = rollup.genesis.l1
    const count = { address: checkpointManager, abi: checkpointManagerAbi, functionName: 'checkpointCount' } as const
    expect(await rollup.client.readContract(count)).toBe(id)
    const last = outcomes.at(-1)
    const { gasUsed } = await rollup.client.getTransactionReceipt({ hash: last?.kind === 'fell' ? last.tx : '0x' })
    gasOf[name] = Number(gasUsed)
    expect(Number(gasUsed)).toBeLessThan(GAS_CAP)
  })
}

test('a wrong checkpoint below others takes them along, and its batch is shown from the latest of them', { timeout: 60_000 }, async () => {
  await rollup.bond()
  const line = await rollup.fork()
  await line.build([], { origin: { deposits: 1 } })
  const wrong = await line.post(line.forge())
  line.keep(wrong)
  await line.build([])
  const later = await line.post(line.forge())
  // The first has no checkpoint of its own: the second answers for it.
  const { id } = await rollup.submit(later)
  const told = outcomes.length
  await look()
  expect(outcomes.slice(told)).toMatchObject([{ kind: 'fell', id }])
})

test('a deposit in each L1 block, and between a proof and its inclusion, spoils no more than a few proofs', {
  timeout: 60_000,
}, async () => {
  await rollup.bond()
  const { id } = await rollup.submit(await FRAUDS['a deposit left out'].make(rollup, 'calldata'))
  const told = outcomes.length
  let queued = 0
  meanwhile = async () => {
    for (const _ of [0, 1]) await rollup.deposit(THIEF, 1n)
    queued += 2
  }
  // Each proof that is spoiled has made the tree higher by which the next one shows the deposit.
  while (outcomes.length === told || outcomes.at(-1)?.kind === 'stands') {
    expect(queued).toBeLessThan(10)
    nowMs += 60_000
    await look()
  }
  meanwhile = async () => {}
  expect(outcomes.at(-1)).toMatchObject({ kind: 'fell', id, proof: 'deposits' })
})

test('a checkpoint that is right is left alone, whether its batch is derived already or not', { timeout: 60_000 }, async () => {
  await rollup.bond()
  const posted = await rollup.post(rollup.forge())
  await rollup.submit(posted)
  const told = outcomes.length
  await look()
  expect(outcomes.slice(told)).toEqual([])
  expect(challenger.status()).toMatchObject({ open: 1, wrong: 0 })
  process.stdout.write(`gas of proofs from call data: ${JSON.stringify(gasOf)}\n`)
})
