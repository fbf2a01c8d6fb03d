import { seedsTest } from './seeds.ts';

seedsTest(1401, 2067);
