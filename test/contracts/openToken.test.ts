import { afterAll, beforeAll, expect, test } from 'vitest'
import { OPEN_SUPPLY_WEI } from '../../genesis/params.ts'
import { openTokenAbi } from '../../settlement/abi.ts'
import { type L1Stage, startL1Stage } from '../fakes/l1Stage.ts'

let l1: L1Stage
beforeAll(async () => {
  l1 = await startL1Stage()
})
afterAll(() => l1?.stop())

test('the whole supply is with the holder, under the names that wallets show', async () => {
  const token = { address: l1.deployment.openToken, abi: openTokenAbi } as const
  expect(await l1.user.readContract({ ...token, functionName: 'name' })).toBe('Open')
  expect(await l1.user.readContract({ ...token, functionName: 'symbol' })).toBe('OPEN')
  expect(await l1.user.readContract({ ...token, functionName: 'decimals' })).toBe(18)
  expect(await l1.user.readContract({ ...token, functionName: 'totalSupply' })).toBe(OPEN_SUPPLY_WEI)
  expect(await l1.user.readContract({ ...token, functionName: 'balanceOf', args: [l1.user.account.address] })).toBe(OPEN_SUPPLY_WEI)
})

test('nobody has a power over the token: it can be moved and allowed, and nothing else', () => {
  const writing = openTokenAbi.filter((item) => item.type === 'function' && item.stateMutability === 'nonpayable').map((item) => item.name)
  expect(writing.sort()).toEqual(['approve', 'permit', 'transfer', 'transferFrom'])
})
