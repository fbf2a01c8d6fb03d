import { seedsTest } from './seeds.ts';

seedsTest(1401, 1700);
