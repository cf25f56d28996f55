/** What a node spends on a transaction before it is refused: signatures recovered, by count. Spec: docs/spec/transactions.md#the-pool */
import { type Hex, toHex, zeroAddress } from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { attributionCredit } from '../../execution/native/attributionCredit.ts'
import type { FieldValues } from '../../execution/native/nativeType.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { requestDigest } from '../../execution/receipt.ts'
import { type RecoverAll, recoverSignatory } from '../../execution/recover.ts'
import { LIMIT, OPEN_WEI } from '../../genesis/params.ts'
import { openDiskChain } from '../fakes/diskChain.ts'
import { addressOf, signNative, testAccounts, testGenesis } from '../fakes/testChain.ts'

const genesis = testGenesis()
const { chainId } = genesis.params
const [WORKER, CLIENT, THIRD] = testAccounts as [PrivateKeyAccount, PrivateKeyAccount, PrivateKeyAccount]
const something: Hex = `0x${'5e'.repeat(32)}`

/** A chain, and `cost`: what becomes of a transaction and how many signatures were recovered for it. */
async function start(held?: Promise<void>) {
  let recovered = 0
  const answers = new Map<string, ReturnType<typeof recoverSignatory>>() // asked for often, found once
  const recover: RecoverAll = async (signed) => {
    recovered += signed.length
    await held
    return signed.map((one) => {
      const key = toHex(one.digest) + toHex(one.signature.s)
      if (!answers.has(key)) answers.set(key, recoverSignatory(one))
      return answers.get(key)
    })
  }
  const { chain } = await openDiskChain(genesis, { recover })
  return {
    chain,
    async cost(raw: Uint8Array): Promise<[code: string, recovered: number]> {
      recovered = 0
      const result = await chain.submit(raw)
      return [result.ok ? 'ok' : result.code, recovered]
    },
  }
}

/** A window drawn from `clients`, each by a signature of that account. */
async function creditOf(clients: readonly PrivateKeyAccount[], change: FieldValues = {}): Promise<FieldValues> {
  const draws = await Promise.all(
    clients.map(async (client) => {
      const request = {
        ...{ client: addressOf(client), worker: addressOf(WORKER), modelId: something, promptCommit: something, paramsHash: something },
        ...{ seed: 1n, maxOutputTokens: 1, maxFee: 1n, cumulativeMaxFee: 1n, nonce: 1n, deadline: 1n },
      }
      return { request, signature: await client.sign({ hash: toHex(requestDigest(request, chainId)) }), amount: 1n }
    }),
  )
  const window = { worker: addressOf(WORKER), modelId: something, firstSeq: 1n, count: 1, promptTokens: 0n, outputTokens: 0n }
  return { ...window, receiptsRoot: something, attributionRoot: something, draws, accounts: [], amountsGwei: [], ...change }
}

/** The credit with as many draws as there may be, of which all but the first few have somebody else's signature. */
async function manyDraws(change: FieldValues = {}): Promise<FieldValues> {
  const fields = await creditOf(testAccounts)
  const [first] = fields.draws as { request: { client: Hex } }[]
  if (!first) throw new Error('no draw')
  const left = LIMIT.drawsPerCredit - testAccounts.length
  const strangers = Array.from({ length: left }, (_, i) => ({
    ...first,
    request: { ...first.request, client: toHex(i + 1, { size: 20 }) },
  }))
  return { ...fields, draws: [...(fields.draws as unknown[]), ...strangers], ...change }
}

const signed = (who: PrivateKeyAccount, fields: FieldValues, { nonce = 0n, maxFeeWei = OPEN_WEI } = {}) =>
  signNative(who, { type: attributionCredit, fields, nonce, chainId, maxFeeWei })

test('fields that break a rule cost no recovery, however many signatures there are', async () => {
  const { cost } = await start()
  expect(await cost(await signed(WORKER, await manyDraws({ count: 0 })))).toEqual(['badWindow', 0])
  expect(await cost(await signed(WORKER, await manyDraws({ accounts: [2, 1], amountsGwei: [1, 1] })))).toEqual(['badEntries', 0])
  expect(await cost(await signed(WORKER, await manyDraws({ accounts: [1], amountsGwei: [] })))).toEqual(['badEntries', 0])
  const { draws } = (await creditOf([CLIENT, THIRD])) as { draws: Record<string, unknown>[] }
  const short = draws.map((draw, i) => (i === 1 ? { ...draw, signature: '0x1234' } : draw))
  expect(await cost(await signed(WORKER, await creditOf([], { draws: short })))).toEqual(['badDraw', 0])
  const nowhere = { kind: 0, to: zeroAddress, amount: 1n }
  expect(await cost(await signNative(WORKER, { type: transfer, fields: nowhere, nonce: 0n, chainId }))).toEqual(['badRecipient', 0])
})

test('what passes its fields costs every signature once, whether they hold or not; what waits already costs none', async () => {
  const { cost } = await start()
  expect(await cost(await signed(WORKER, await manyDraws()))).toEqual(['badVoucher', LIMIT.drawsPerCredit + 1])
  const raw = await signed(WORKER, await creditOf([CLIENT, THIRD]))
  expect(await cost(raw)).toEqual(['ok', 3])
  expect(await cost(raw)).toEqual(['alreadyKnown', 0])
})

test('what the pool refuses has cost its signatures, of which each is larger than a transfer', async () => {
  const { cost } = await start()
  const fields = await creditOf([CLIENT, THIRD])
  const refused = await signed(WORKER, fields, { nonce: 101n })
  expect(await cost(refused)).toEqual(['nonceTooHigh', 3])
  expect(await cost(await signed(WORKER, fields, { maxFeeWei: 1n }))).toEqual(['feeTooLow', 3])
  expect(await cost(await signed(WORKER, fields, { maxFeeWei: 2_000_000n * OPEN_WEI }))).toEqual(['insufficientFunds', 3])
  const pay = { kind: 0, to: addressOf(CLIENT), amount: 1n }
  const least = await signNative(WORKER, { type: transfer, fields: pay, nonce: 0n, chainId })
  expect(refused.length / 3).toBeGreaterThan(least.length)
})

test('more signatures than the threads get through in a second are not taken on, and it says when to come again', async () => {
  let release = () => {}
  const { chain } = await start(
    new Promise((resolve) => {
      release = resolve
    }),
  )
  const raw = await signNative(WORKER, { type: transfer, fields: { kind: 0, to: addressOf(CLIENT), amount: 1n }, nonce: 0n, chainId })
  const waiting = Array.from({ length: 32_768 }, () => chain.submit(raw))
  expect(await chain.submit(raw)).toEqual({ ok: false, code: 'poolFull', invalid: true, signatures: 32_768 })
  release()
  const outcomes = await Promise.all(waiting)
  expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1)
  expect(await chain.submit(raw)).toMatchObject({ code: 'alreadyKnown' })
})
